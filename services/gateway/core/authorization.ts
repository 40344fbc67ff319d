import { cacheRequests } from '#shared/protocol/cache-schemas.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { telemetryQueries } from '#shared/protocol/telemetry-schemas.ts';

/**
 * Who may do what, as one pure function. A principal has grants, a grant gives a role, a role gives operations.
 * Whatever is not in these tables is refused.
 */

/** What an operation is done to. */
export type Resource =
  /** A queue, or one item of it where `itemId` says which. */
  | { readonly kind: 'queue'; readonly name: string; readonly itemId?: string }
  | { readonly kind: 'namespace'; readonly name: string }
  /** The cluster as a whole: every queue's figures, telemetry, the gateway itself. */
  | { readonly kind: 'cluster' };

type Named<Area extends string, Word extends string> = Readonly<Record<`${Area}.${Word}`, Resource['kind']>>;

const named = <Area extends string, Word extends string>(
  area: Area,
  words: readonly Word[],
  kind: Resource['kind'],
): Named<Area, Word> =>
  Object.fromEntries(words.map((word) => [`${area}.${word}`, kind])) as Named<Area, Word>;

const wordsOf = <Word extends string>(table: Readonly<Record<Word, unknown>>): readonly Word[] =>
  Object.keys(table) as Word[];

/**
 * Every operation, with the kind of resource that it is done to. Those of a queue, a namespace and telemetry are the
 * protocol's own, by its own words, so that a new one is here as soon as the protocol has it.
 */
export const operations = {
  ...named('queue', ['enqueue', ...wordsOf(queueRequests)], 'queue'),
  /** Live events of one queue. */
  'queue.events': 'queue',
  'queue.list-all': 'cluster',
  'queue.stats-all': 'cluster',
  ...named('cache', wordsOf(cacheRequests), 'namespace'),
  /** Live events of one namespace. */
  'cache.events': 'namespace',
  'cache.stats-all': 'cluster',
  ...named('telemetry', wordsOf(telemetryQueries), 'cluster'),
  'telemetry.record': 'cluster',
  /** OTLP requests, which the collectors pass on. */
  'telemetry.otlp': 'cluster',
  /** A stream of live events; which of them it shows is asked queue by queue and namespace by namespace. */
  'events.watch': 'cluster',
  'cluster.describe': 'cluster',
  'gateway.metrics': 'cluster',
  'gateway.openapi': 'cluster',
} as const satisfies Readonly<Record<string, Resource['kind']>>;

export type Operation = keyof typeof operations;

export type Role = 'admin';

/** What each role may do. */
const allowed: Readonly<Record<Role, ReadonlySet<string>>> = {
  admin: new Set(Object.keys(operations)),
};

export interface Grant {
  readonly role: Role;
}

/** Somebody whose credentials were checked. */
export interface Principal {
  readonly name: string;
  readonly grants: readonly Grant[];
}

/** Who holds the local token: the one principal there is today. */
export const localAdmin: Principal = { name: 'local admin', grants: [{ role: 'admin' }] };

export type Decision =
  { readonly allowed: true } | { readonly allowed: false; /** For the caller. */ readonly why: string };

/**
 * Whether `principal` may do `operation` to `resource`.
 * @returns a refusal unless a grant says otherwise; never throws; O(grants)
 */
export function authorize(principal: Principal, operation: Operation, resource: Resource): Decision {
  if (operations[operation] !== resource.kind) return refused(principal, operation, resource);
  const granted = principal.grants.some((grant) => allowed[grant.role].has(operation));
  return granted ? { allowed: true } : refused(principal, operation, resource);
}

function refused(principal: Principal, operation: string, resource: Resource): Decision {
  const target = resource.kind === 'cluster' ? 'the cluster' : `${resource.kind} ${resource.name}`;
  return { allowed: false, why: `${principal.name} may not do ${operation} on ${target}` };
}
