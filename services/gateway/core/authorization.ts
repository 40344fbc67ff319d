/**
 * Who may do what, as one pure function. A principal has grants, a grant gives a role, a role gives operations.
 * Whatever is not in these tables is refused.
 */

/** What an operation is done to. */
export type Resource =
  | { readonly kind: 'queue'; readonly name: string }
  | { readonly kind: 'namespace'; readonly name: string }
  /** The cluster as a whole: every queue's figures, telemetry, the gateway itself. */
  | { readonly kind: 'cluster' };

/** Every operation, with the kind of resource that it is done to. */
export const operations = {
  'queue.enqueue': 'queue',
  'queue.dequeue': 'queue',
  'queue.complete': 'queue',
  'queue.fail': 'queue',
  'queue.get': 'queue',
  'queue.list': 'queue',
  'queue.stats': 'cluster',
  'cache.get': 'namespace',
  'cache.set': 'namespace',
  'cache.delete': 'namespace',
  'cache.clear': 'namespace',
  'cache.exists': 'namespace',
  'cache.stats': 'namespace',
  'cache.stats-all': 'cluster',
  'telemetry.record': 'cluster',
  'telemetry.stats': 'cluster',
  'gateway.metrics': 'cluster',
  'gateway.openapi': 'cluster',
} as const satisfies Record<string, Resource['kind']>;

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
