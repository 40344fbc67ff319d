import { expect, test } from 'vitest';
import { authorize } from '#services/gateway/core/authorization.ts';
import { natsPermissions } from '#services/gateway/core/nats-permissions.ts';
import { type Operation, isAdministrative, operations } from '#services/gateway/core/operations.ts';
import type { Principal } from '#services/gateway/core/principal.ts';
import { type Grant, roles } from '#shared/protocol/identity-schemas.ts';

const principal = (...grants: Grant[]): Principal => ({
  name: 'ada',
  id: 'k-1',
  ownNamespace: 'u-ada',
  grants,
});

/** As nats-server matches: `*` is one token, `>` is one or more. */
function isOpen(allowed: readonly string[], subject: string): boolean {
  const tokens = subject.split('.');
  return allowed.some((pattern) => {
    const parts = pattern.split('.');
    if (parts.at(-1) === '>')
      return (
        tokens.length >= parts.length &&
        parts.slice(0, -1).every((part, i) => part === '*' || part === tokens[i])
      );
    return parts.length === tokens.length && parts.every((part, i) => part === '*' || part === tokens[i]);
  });
}

test('a producer for emails can publish what enqueues there, and nothing else', () => {
  expect(natsPermissions(principal({ role: 'producer', queues: ['emails'] }), 'trivet')).toEqual({
    publish: [
      '$SYS.REQ.USER.INFO',
      'trivet.queue.emails.enqueue',
      'trivet.jobs.emails',
      'trivet.queue.emails.enqueue-many',
    ],
    subscribe: ['_INBOX.k-1.>', 'trivet.events.queue-broker'],
  });
});

test('a worker for emails hears of its queue, too', () => {
  const { publish, subscribe } = natsPermissions(principal({ role: 'worker', queues: ['emails'] }), 'trivet');
  expect(publish.toSorted()).toEqual([
    '$SYS.REQ.USER.INFO',
    ...['complete', 'dequeue', 'extend', 'fail', 'log', 'release'].map(
      (word) => `trivet.queue.emails.${word}`,
    ),
  ]);
  expect(subscribe.toSorted()).toEqual([
    '_INBOX.k-1.>',
    'trivet.events.queue-broker',
    'trivet.events.queue.emails.*',
  ]);
});

test.each<[string, Grant]>([
  ['beginnings of names', { role: 'operator', queues: ['mail*'], namespaces: ['user*'] }],
  ['what is one’s own', { role: 'operator', own: true }],
])('a grant for %s opens nothing on NATS', (_, grant) => {
  expect(natsPermissions(principal(grant), 'trivet')).toEqual({
    publish: ['$SYS.REQ.USER.INFO'],
    subscribe: ['_INBOX.k-1.>'],
  });
});

const grants: readonly Omit<Grant, 'role'>[] = [
  {},
  { queues: ['mails'] },
  { queues: ['*'] },
  { namespaces: ['default'] },
  { queues: ['mails'], namespaces: ['default'], cluster: true },
  { queues: [] },
];

test('NATS opens what `authorize` allows, for every role, operation and scope, and nothing more', () => {
  const wrong: unknown[] = [];
  for (const role of roles)
    for (const grant of grants)
      for (const [operation, kind] of Object.entries(operations) as [Operation, string][])
        for (const name of kind === 'cluster' ? [''] : ['mails', 'default', 'other']) {
          const who = principal({ role, ...grant });
          const { publish } = natsPermissions(who, 'trivet');
          const word = operation.slice(operation.indexOf('.') + 1);
          if (kind === 'cluster' || word === 'events') continue;
          const area = kind === 'queue' ? 'queue' : 'cache';
          const plain = `trivet.${area}.${name}.${word}`;
          const pinned = `trivet.as.k-1.${area}.${name}.${word}`;
          const resource = { kind: kind as 'queue', name };
          const expected = authorize(who, operation, resource).allowed;
          const byAs = isAdministrative(operation);
          const found = [isOpen(publish, plain), isOpen(publish, pinned)];
          if (found[0] !== (expected && !byAs) || found[1] !== (expected && byAs))
            wrong.push({ role, grant, operation, name, expected, found });
        }
  expect(wrong).toEqual([]);
});

test('whatever the grants, the internals and other people’s inboxes stay closed', () => {
  const { publish, subscribe } = natsPermissions(principal({ role: 'admin' }), 'trivet');
  const internals = [
    'log.0',
    'fence.0',
    'owner.0.1',
    'ingest.0.x',
    'queue-owned.mails.enqueue',
    'audit',
    'as.k-2.queue.mails.pause',
    'queue-admin.compact',
  ];
  for (const rest of internals) expect(isOpen(publish, `trivet.${rest}`), rest).toBe(false);
  for (const subject of [
    '$KV.TRIVET_LEASES.owner',
    '$JS.API.STREAM.LIST',
    '$O.X.C.1',
    '_INBOX.k-2.x',
    '_INBOX_TRIVET.x',
    '$SYS.REQ.SERVER.PING',
  ])
    expect(isOpen([...publish, ...subscribe], subject), subject).toBe(false);
  for (const subject of ['trivet.queue.mails.enqueue', 'trivet.jobs.mails', '_INBOX.x'])
    expect(isOpen(subscribe, subject), subject).toBe(false);
});
