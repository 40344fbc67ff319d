import type { Grant } from '#shared/protocol/identity-schemas.ts';
import { type Operation, type Resource, operations } from './operations.ts';
import type { Principal } from './principal.ts';
import { isForEverybody, roleAllows } from './roles.ts';

/**
 * Who may do what, as one pure function, for HTTP and for NATS alike. A principal has grants, a grant gives a role
 * somewhere, a role gives operations. Whatever is not in these tables is refused.
 */

export type Decision =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      /** For the caller. */
      readonly why: string;
      /** Ask again with the item's `owner` in the resource: an own-only grant may say yes then. */
      readonly needsOwner: boolean;
    };

/**
 * Whether `principal` may do `operation` to `resource`.
 * @returns a refusal unless a grant says otherwise; never throws; O(grants × patterns)
 */
export function authorize(principal: Principal, operation: Operation, resource: Resource): Decision {
  if (operations[operation] !== resource.kind) return refused(principal, operation, resource, false);
  let needsOwner = false;
  for (const grant of principal.grants) {
    if (!roleAllows(grant.role, operation) || !covers(grant, operation, resource)) continue;
    if (grant.own !== true) return { allowed: true };
    const own = isOwn(principal, operation, resource);
    if (own === true) return { allowed: true };
    if (own === undefined) needsOwner = true;
  }
  return refused(principal, operation, resource, needsOwner);
}

/** Whether a request's body asks for the children of an item as well. */
export const asksForChildren = (body: unknown): boolean => {
  const { children } = (body ?? {}) as { readonly children?: unknown };
  return children !== undefined && children !== false;
};

/** True when the name is the pattern, or begins as a pattern that ends in `*`. */
export const matches = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

/** Whether the grant speaks of this resource at all. */
function covers(grant: Grant, operation: Operation, resource: Resource): boolean {
  const narrowed =
    grant.queues !== undefined || grant.namespaces !== undefined || grant.cluster !== undefined;
  if (resource.kind === 'cluster') return isForEverybody(operation) || !narrowed || grant.cluster === true;
  if (!narrowed) return true;
  const patterns = resource.kind === 'queue' ? grant.queues : grant.namespaces;
  if (reachesOtherQueues(operation, resource)) return patterns?.includes('*') === true;
  return patterns?.some((pattern) => matches(pattern, resource.name)) === true;
}

/** A flow has items in other queues, too: who may use some queues only would reach the others through it. */
const reachesOtherQueues = (operation: Operation, resource: Resource): boolean =>
  operation === 'queue.enqueue-flow' ||
  operation === 'queue.children' ||
  (resource.kind === 'queue' && resource.withChildren === true);

const enqueues: ReadonlySet<Operation> = new Set<Operation>([
  'queue.enqueue',
  'queue.enqueue-many',
  'queue.enqueue-flow',
]);

/** Whether an own-only grant holds; undefined where the item's owner decides and is not known yet. */
function isOwn(principal: Principal, operation: Operation, resource: Resource): boolean | undefined {
  if (resource.kind === 'namespace') return isOwnNamespace(principal, resource.name);
  if (resource.kind === 'cluster') return isForEverybody(operation);
  // What one enqueues is one's own from then on; what its key stood for already is its owner's.
  if (enqueues.has(operation)) return resource.owner === undefined || resource.owner === principal.name;
  if (resource.owner !== undefined) return resource.owner === principal.name;
  return resource.itemId === undefined ? false : undefined;
}

const isOwnNamespace = ({ ownNamespace }: Principal, name: string): boolean =>
  name === ownNamespace || name.startsWith(`${ownNamespace}_`);

function refused(principal: Principal, operation: string, resource: Resource, needsOwner: boolean): Decision {
  const target = resource.kind === 'cluster' ? 'the cluster' : `${resource.kind} ${resource.name}`;
  return { allowed: false, why: `${principal.name} may not do ${operation} on ${target}`, needsOwner };
}
