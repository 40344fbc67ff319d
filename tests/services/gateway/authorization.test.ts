import { describe, expect, test } from 'vitest';
import { authorize, matches } from '#services/gateway/core/authorization.ts';
import {
  type Operation,
  type Resource,
  isAdministrative,
  operations,
} from '#services/gateway/core/operations.ts';
import { type Principal, localAdmin } from '#services/gateway/core/principal.ts';
import { type Grant, type Role, roles } from '#shared/protocol/identity-schemas.ts';

const principal = (...grants: Grant[]): Principal => ({
  name: 'ada',
  id: 'u-ada',
  ownNamespace: 'u-ada',
  grants,
});

// The decision as a table that people can read: one line an operation, a column a role. Written out once more here,
// so that a slip in the tables of `roles.ts` is seen.
const columns: readonly Exclude<Role, 'admin'>[] = ['operator', 'producer', 'worker', 'viewer'];
const lines = `
queue.enqueue           operator producer
queue.enqueue-many      operator producer
queue.enqueue-flow      operator producer
queue.dequeue           operator worker
queue.complete          operator worker
queue.fail              operator worker
queue.extend            operator worker
queue.release           operator worker
queue.log               operator worker
queue.get               operator viewer
queue.result            operator viewer
queue.list              operator viewer
queue.stats             operator viewer
queue.workers           operator viewer
queue.children          operator viewer
queue.logs              operator viewer
queue.describe          operator viewer
queue.events            operator worker viewer
queue.list-all          operator viewer
queue.stats-all         operator viewer
queue.cancel            operator
queue.purge             operator
queue.replay            operator
queue.reprioritize      operator
queue.update            operator
queue.pause             operator
queue.resume            operator
queue.configure         operator
cache.get               operator producer worker viewer
cache.get-many          operator producer worker viewer
cache.exists            operator producer worker viewer
cache.keys              operator producer worker viewer
cache.events            operator producer worker viewer
cache.missed            operator producer worker viewer
cache.set               operator producer worker
cache.set-many          operator producer worker
cache.delete            operator producer worker
cache.delete-many       operator producer worker
cache.increment         operator producer worker
cache.touch             operator producer worker
cache.load              operator producer worker
cache.load-failed       operator producer worker
cache.invalidate-tags   operator producer worker
cache.clear             operator
cache.configure         operator
cache.stats             operator viewer
cache.stats-all         operator viewer
telemetry.stats         operator viewer
telemetry.series        operator viewer
telemetry.events        operator viewer
telemetry.errors        operator viewer
telemetry.logs          operator viewer
telemetry.operations    operator viewer
telemetry.history       operator viewer
telemetry.tail          operator viewer
telemetry.alerts        operator viewer
telemetry.prometheus    operator viewer
telemetry.record        operator producer worker
telemetry.otlp          operator producer worker
events.watch            operator producer worker viewer
cluster.describe        operator viewer
gateway.metrics         operator viewer
gateway.openapi         operator producer worker viewer
session.describe        operator producer worker viewer
token.create
token.list
token.revoke
token.rotate
audit.list
`;
const holders = new Map(
  lines
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .map(([operation = '', ...who]) => [operation, new Set<string>(['admin', ...who])]),
);
const all = Object.keys(operations) as Operation[];

test('every operation stands in the table of this test: a new one is assigned to roles on purpose', () => {
  expect(all.filter((operation) => !holders.has(operation))).toEqual([]);
});

/** Where a grant may hold, and what it then says about three resources of each kind. */
interface Scope {
  readonly scope: string;
  readonly grant: Omit<Grant, 'role'>;
  /** Whether the grant speaks of this resource, for a role that may do the operation. */
  readonly holds: (operation: Operation, resource: Resource) => boolean;
}
const free = new Set(['events.watch', 'gateway.openapi', 'session.describe']);
/** They have to do with items in other queues, too. */
const reachesOthers = (operation: Operation, resource: Resource) =>
  ['queue.enqueue-flow', 'queue.children'].includes(operation) ||
  (resource.kind === 'queue' && resource.withChildren === true);
const enqueues = new Set(['queue.enqueue', 'queue.enqueue-many', 'queue.enqueue-flow']);
const isOwn = (operation: Operation, resource: Resource) =>
  resource.kind === 'namespace'
    ? ['u-ada', 'u-ada_cart'].includes(resource.name)
    : resource.kind === 'queue' &&
      // What is enqueued is one's own, unless its key stands for an item of somebody else.
      ((enqueues.has(operation) && resource.owner === undefined) || resource.owner === 'ada');

const scopes: readonly Scope[] = [
  { scope: 'everywhere', grant: {}, holds: () => true },
  {
    scope: 'on the queue mails',
    grant: { queues: ['mails'] },
    holds: (operation, r) =>
      free.has(operation) || (r.kind === 'queue' && r.name === 'mails' && !reachesOthers(operation, r)),
  },
  {
    scope: 'on queues by a pattern',
    grant: { queues: ['sms', 'mail*'] },
    holds: (operation, r) =>
      free.has(operation) ||
      (r.kind === 'queue' && r.name.startsWith('mail') && !reachesOthers(operation, r)),
  },
  {
    scope: 'on the namespace default',
    grant: { namespaces: ['default'] },
    holds: (operation, r) => free.has(operation) || (r.kind === 'namespace' && r.name === 'default'),
  },
  {
    scope: 'on one queue and the cluster',
    grant: { queues: ['mails'], cluster: true },
    holds: (operation, r) =>
      r.kind === 'cluster' || (r.kind === 'queue' && r.name === 'mails' && !reachesOthers(operation, r)),
  },
  {
    scope: 'on nothing',
    grant: { queues: [], namespaces: [] },
    holds: (operation) => free.has(operation),
  },
  {
    scope: 'on what is its own',
    grant: { own: true },
    holds: (operation, r) => free.has(operation) || isOwn(operation, r),
  },
  {
    scope: 'on what is its own in the queue mails',
    grant: { own: true, queues: ['mails'] },
    holds: (operation, r) =>
      free.has(operation) ||
      (r.kind === 'queue' && r.name === 'mails' && isOwn(operation, r) && !reachesOthers(operation, r)),
  },
];
const resources: readonly Resource[] = [
  { kind: 'queue', name: 'mails' },
  { kind: 'queue', name: 'mails', itemId: '0-1' },
  { kind: 'queue', name: 'mails', itemId: '0-1', withChildren: true },
  { kind: 'queue', name: 'mails', itemId: '0-1', owner: 'ada' },
  { kind: 'queue', name: 'mails', itemId: '0-1', owner: 'bob' },
  { kind: 'queue', name: 'mail-archive', owner: 'ada' },
  { kind: 'queue', name: 'payments' },
  { kind: 'namespace', name: 'default' },
  { kind: 'namespace', name: 'u-ada' },
  { kind: 'namespace', name: 'u-ada_cart' },
  { kind: 'namespace', name: 'u-adam' },
  { kind: 'namespace', name: 'u-bob' },
  { kind: 'cluster' },
];

describe.each(scopes)('a grant $scope', ({ grant, holds }) => {
  test.each(roles)('of the role %s', (role) => {
    const wrong = all.flatMap((operation) =>
      resources.flatMap((resource) => {
        const expected =
          operations[operation] === resource.kind &&
          holders.get(operation)?.has(role) === true &&
          holds(operation, resource);
        const { allowed } = authorize(principal({ role, ...grant }), operation, resource);
        return allowed === expected ? [] : [{ operation, resource, allowed }];
      }),
    );
    expect(wrong).toEqual([]);
  });
});

test('who has no grant may do nothing at all', () => {
  const allowed = all.filter((operation) =>
    resources.some((resource) => authorize(principal(), operation, resource).allowed),
  );
  expect(allowed).toEqual([]);
});

test('a viewer may do nothing that changes anything', () => {
  const changing =
    /\.(enqueue|dequeue|complete|fail|extend|release|log$|set|delete|increment|touch|load|clear|record|otlp|configure|cancel|purge|replay|update|pause|resume|reprioritize|create|revoke|rotate|invalidate)/;
  const allowed = all.filter((operation) =>
    resources.some((resource) => authorize(principal({ role: 'viewer' }), operation, resource).allowed),
  );
  expect(allowed.filter((operation) => changing.test(operation))).toEqual([]);
});

test('grants add up, and one that refuses takes nothing from another', () => {
  const both = principal({ role: 'viewer', queues: ['mails'] }, { role: 'producer', queues: ['sms'] });
  expect(authorize(both, 'queue.enqueue', { kind: 'queue', name: 'sms' }).allowed).toBe(true);
  expect(authorize(both, 'queue.get', { kind: 'queue', name: 'mails' }).allowed).toBe(true);
  expect(authorize(both, 'queue.enqueue', { kind: 'queue', name: 'mails' }).allowed).toBe(false);
  expect(authorize(both, 'queue.get', { kind: 'queue', name: 'sms' }).allowed).toBe(false);
});

test('an own-only grant asks for the owner of an item that it does not know, and for nothing else', () => {
  const ada = principal({ role: 'viewer', own: true });
  const item = { kind: 'queue', name: 'mails', itemId: '0-1' } as const;
  expect(authorize(ada, 'queue.get', item)).toMatchObject({ allowed: false, needsOwner: true });
  expect(authorize(ada, 'queue.get', { ...item, owner: 'bob' })).toMatchObject({ needsOwner: false });
  expect(authorize(ada, 'queue.purge', item)).toMatchObject({ needsOwner: false });
  expect(authorize(ada, 'queue.stats', { kind: 'queue', name: 'mails' })).toMatchObject({
    needsOwner: false,
  });
});

test('an operation that nobody has declared is refused, even to the admin', () => {
  const undeclared = 'queue.drop-everything' as Operation;
  expect(authorize(localAdmin, undeclared, { kind: 'queue', name: 'mails' }).allowed).toBe(false);
});

test('a refusal says who may not do what on what', () => {
  expect(authorize(principal(), 'queue.enqueue', { kind: 'queue', name: 'mails' })).toMatchObject({
    allowed: false,
    why: 'ada may not do queue.enqueue on queue mails',
  });
});

test('what only operators may do on queues and caches, and all about tokens and audit, is administrative', () => {
  const onlyOperators = all.filter((operation) =>
    columns.every((role) => role === 'operator' || holders.get(operation)?.has(role) !== true),
  );
  expect(all.filter(isAdministrative).sort()).toEqual(onlyOperators.sort());
});

test.each([
  ['mails', 'mails', true],
  ['mails', 'mails2', false],
  ['mail*', 'mail', true],
  ['mail*', 'mailbox', true],
  ['mail*', 'xmail', false],
  ['*', 'anything', true],
  ['', '', true],
])('the pattern %j and the name %j: %j', (pattern, name, expected) => {
  expect(matches(pattern, name)).toBe(expected);
});
