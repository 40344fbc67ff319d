import { isAdministrativeRequest } from '#shared/protocol/administrative.ts';
import { cacheRequests } from '#shared/protocol/cache-schemas.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { telemetryQueries } from '#shared/protocol/telemetry-queries.ts';

/** What an operation is done to. */
export type Resource =
  /** A queue; one item of it where `itemId` says which; whose item or items, where that is known. */
  | {
      readonly kind: 'queue';
      readonly name: string;
      readonly itemId?: string | undefined;
      readonly owner?: string | undefined;
      /** What is asked reaches the children of the items, too, which may be in any queue. */
      readonly withChildren?: boolean | undefined;
    }
  | { readonly kind: 'namespace'; readonly name: string }
  /** The cluster as a whole: every queue's figures, telemetry, tokens, the gateway itself. */
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
 * protocol's own, by its own words, so that a new one is here as soon as the protocol has it. Who may do it is said in
 * `roles.ts`; until then it is the admin's alone.
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
  /** Who one is. */
  'session.describe': 'cluster',
  'token.create': 'cluster',
  'token.list': 'cluster',
  'token.revoke': 'cluster',
  'token.rotate': 'cluster',
  'audit.list': 'cluster',
} as const satisfies Readonly<Record<string, Resource['kind']>>;

export type Operation = keyof typeof operations;

export const isOperation = (word: string): word is Operation => Object.hasOwn(operations, word);

/** Who has which credentials, and who looks at the audit: it is always in the audit itself. */
const aboutAccess: ReadonlySet<string> = new Set([
  'token.create',
  'token.list',
  'token.revoke',
  'token.rotate',
  'audit.list',
]);

export const isAdministrative = (operation: string): boolean =>
  isAdministrativeRequest(operation) || aboutAccess.has(operation);
