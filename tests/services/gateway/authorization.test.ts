import { expect, test } from 'vitest';
import {
  type Operation,
  type Principal,
  type Resource,
  authorize,
  localAdmin,
  operations,
} from '#services/gateway/core/authorization.ts';

const resources: readonly Resource[] = [
  { kind: 'queue', name: 'mails' },
  { kind: 'namespace', name: 'default' },
  { kind: 'cluster' },
];
const nobody: Principal = { name: 'nobody', grants: [] };

// Every principal × operation × resource: an operation that is added is in the table at once.
const table = (Object.keys(operations) as Operation[]).flatMap((operation) =>
  resources.flatMap((resource) => [
    { principal: localAdmin, operation, resource, allowed: operations[operation] === resource.kind },
    { principal: nobody, operation, resource, allowed: false },
  ]),
);

test.each(table)(
  '$principal.name, $operation on a $resource.kind: allowed $allowed',
  ({ principal, operation, resource, allowed }) => {
    expect(authorize(principal, operation, resource).allowed).toBe(allowed);
  },
);

test('an operation that nobody has declared is refused, even to the admin', () => {
  const undeclared = 'queue.drop-everything' as Operation;
  expect(authorize(localAdmin, undeclared, { kind: 'queue', name: 'mails' }).allowed).toBe(false);
});

test('a refusal says who may not do what on what', () => {
  expect(authorize(nobody, 'queue.enqueue', { kind: 'queue', name: 'mails' })).toEqual({
    allowed: false,
    why: 'nobody may not do queue.enqueue on queue mails',
  });
});
