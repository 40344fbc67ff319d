import type { FastifyRequest } from 'fastify';
import { expect, test } from 'vitest';
import { Access } from '#services/gateway/access.ts';
import { newApiKey } from '#services/gateway/authentication.ts';
import type { Principal } from '#services/gateway/core/principal.ts';
import type { Answer } from '#services/gateway/endpoint.ts';
import { Refused } from '#services/gateway/refused.ts';
import type { AuditNote } from '#shared/protocol/audit-schemas.ts';
import { type Result, accept } from '#shared/protocol/errors.ts';

// What of a request reaches the audit.

function world(grants: Principal['grants'], auditEverything = false) {
  const notes: AuditNote[] = [];
  const keep = (note: AuditNote): void => void notes.push(note);
  const access = new Access({
    audit: { isWritable: true, note: (note) => Promise.resolve(keep(note)), refused: keep },
    auditEverything,
    ownerOf: () => Promise.resolve(accept(undefined)),
  });
  const request = {
    ip: '127.0.0.1',
    socket: { remotePort: 1 },
    observation: { traceHeaders: {} },
  } as unknown as FastifyRequest;
  const principal = { name: 'ada', id: 'k-1', ownNamespace: 'u-ada', grants };
  const pause = (queue: string, act: () => Promise<Result<Answer>>) =>
    access.run(request, {
      principal,
      operation: 'queue.pause',
      resource: { kind: 'queue', name: queue },
      needsBearer: false,
      act,
    });
  const set = (act: () => Promise<Result<Answer>>) =>
    access.run(request, {
      principal,
      operation: 'cache.set',
      resource: { kind: 'namespace', name: 'shop' },
      needsBearer: false,
      act,
    });
  return { notes, pause, set };
}

test.each([
  ['a condition that did not hold', new Refused({ code: 'conflict', message: 'changed' }, 412), 'conflict'],
  ['a fault: nobody knows whether it was done', new Error('no answer from JetStream'), 'internal'],
])('what ends with %s is in the audit, too', async (_, fault, result) => {
  const { notes, pause } = world([{ role: 'admin' }]);
  await expect(pause('mails', () => Promise.reject(fault))).rejects.toBe(fault);
  expect(notes).toMatchObject([{ who: 'ada', operation: 'queue.pause', on: 'queue mails', result }]);
  const everything = world([{ role: 'admin' }], true);
  await expect(everything.set(() => Promise.reject(fault))).rejects.toBe(fault);
  expect(everything.notes).toMatchObject([{ who: 'ada', operation: 'cache.set', result }]);
});

test('a key that somebody took for the name of a queue is nowhere in the entry of his refusal', async () => {
  const { token } = newApiKey();
  const { notes, pause } = world([{ role: 'viewer' }]);
  expect(await pause(token, () => Promise.resolve(accept({ status: 200 })))).toMatchObject({ ok: false });
  expect(notes).toMatchObject([{ result: 'forbidden', on: 'queue trv_…' }]);
  expect(JSON.stringify(notes)).not.toContain(token.slice(-43));
});
