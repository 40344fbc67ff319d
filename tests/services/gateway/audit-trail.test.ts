import { expect, test } from 'vitest';
import type { AuditStream } from '#services/gateway/audit-stream.ts';
import { AuditTrail } from '#services/gateway/audit-trail.ts';
import { chainStart, entryOf } from '#shared/runtime/audit-chain.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import { newSigningSeed, signingKey } from '#shared/runtime/signing-key.ts';

/** What a NATS with small messages takes (small-nats.nats.test.ts). */
const messageBytesMax = 65_536;

function world() {
  const clock = new ManualClock(1_000_000);
  const messages: (readonly string[])[] = [];
  const told: string[] = [];
  let isDown = false;
  const stream = {
    open: () => Promise.resolve({ sequence: 0, chain: chainStart }),
    append: (lines: readonly string[]) => {
      if (isDown) return Promise.reject(new Error('no responders'));
      if (Buffer.byteLength(lines.join('\n')) > messageBytesMax)
        return Promise.reject(new Error('max_payload exceeded'));
      messages.push(lines);
      return Promise.resolve(messages.length);
    },
  } as unknown as AuditStream;
  const trail = new AuditTrail({
    stream,
    clock,
    key: signingKey(newSigningSeed()),
    keepHead: () => Promise.resolve(),
    log: { error: (_, text) => void told.push(text), info: () => undefined },
  });
  const pass = (ms: number) => clock.advance(ms, () => new Promise(setImmediate));
  const down = (now: boolean) => {
    isDown = now;
  };
  return { messages, told, trail, pass, down };
}

test('entries that came together are written however small the messages of NATS are', async () => {
  const { messages, trail } = world();
  await trail.open();
  for (let n = 0; n < 600; n += 1)
    trail.refused({
      who: 'a name of some length',
      id: `k-0123456789abc${String(n).padStart(3, '0')}`,
      via: 'http',
      from: '127.0.0.1:1',
      operation: 'queue.purge',
      on: `queue ${'q'.repeat(64)}`,
      result: 'forbidden',
      why: `a name of some length may not do queue.purge on queue ${'é'.repeat(60)}${n}`,
    });
  for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
  expect(trail.isWritable).toBe(true);
  const numbers = messages.flat().map((line) => entryOf(line).n);
  expect(numbers).toEqual(Array.from({ length: 600 }, (_, index) => index + 1));
});

const purge = {
  who: 'ada',
  id: 'k-0123456789abcdef',
  via: 'http',
  from: '127.0.0.1:1',
  operation: 'queue.purge',
  on: 'queue q',
  result: 'ok',
} as const;

test('an entry that fails once while the process ends is written all the same', async () => {
  const { messages, told, trail, pass, down } = world();
  await trail.open();
  trail.end();
  down(true);
  const noted = trail.note(purge);
  await new Promise(setImmediate);
  down(false);
  await pass(500);
  await noted;
  expect(messages.flat().map((line) => entryOf(line).n)).toEqual([1]);
  expect(told).toEqual(['the audit cannot be written']);
});

test('an entry that cannot be written while the process ends is in the log, and whoever waits is answered', async () => {
  const { messages, told, trail, pass, down } = world();
  await trail.open();
  down(true);
  const noted = trail.note(purge);
  await pass(60_000);
  expect(told).toEqual(['the audit cannot be written']);
  trail.end();
  for (let step = 0; step < 12; step += 1) await pass(250);
  await noted;
  expect(messages).toEqual([]);
  expect(told).toContain('the process ends: an entry of the audit is only in this log');
});
