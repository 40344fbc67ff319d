import type { Role } from '#shared/protocol/identity-schemas.ts';

/** What each role may do where a grant of it holds. */

const words = (area: string, list: string): readonly string[] =>
  list.split(' ').map((word) => `${area}.${word}`);

const produce = words('queue', 'enqueue enqueue-many enqueue-flow');
const work = words('queue', 'dequeue complete fail extend release log events');
const look = [
  ...words('queue', 'get result list stats workers children logs describe events list-all stats-all'),
  ...words('cache', 'get get-many exists keys missed stats events stats-all'),
  ...words('telemetry', 'stats series events errors logs operations history tail alerts prometheus'),
  'cluster.describe',
  'gateway.metrics',
];
const useCache = words(
  'cache',
  'get set delete get-many set-many delete-many exists increment touch keys load load-failed invalidate-tags missed events',
);
const report = words('telemetry', 'record otlp');
const operate = [
  ...words('queue', 'cancel purge replay reprioritize update pause resume configure'),
  ...words('cache', 'clear configure'),
];
/** What everybody may who is somebody: it tells nothing of what is kept. */
const everybody = ['events.watch', 'gateway.openapi', 'session.describe'];

/** By role. A word that is in none of these lists is the admin's alone. */
const allowed: Readonly<Record<Exclude<Role, 'admin'>, ReadonlySet<string>>> = {
  operator: new Set([...everybody, ...produce, ...work, ...look, ...useCache, ...report, ...operate]),
  producer: new Set([...everybody, ...produce, ...useCache, ...report]),
  worker: new Set([...everybody, ...work, ...useCache, ...report]),
  viewer: new Set([...everybody, ...look]),
};

export const roleAllows = (role: Role, operation: string): boolean =>
  role === 'admin' || allowed[role].has(operation);

/** Holds for a narrowed grant, too, though it is done to the cluster. */
export const isForEverybody = (operation: string): boolean => everybody.includes(operation);
