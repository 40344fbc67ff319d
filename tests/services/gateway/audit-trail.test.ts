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
  const stream = {
    open: () => Promise.resolve({ sequence: 0, chain: chainStart }),
    append: (lines: readonly string[]) => {
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
    log: { error: () => undefined, info: () => undefined },
  });
  return { messages, trail };
}

test('entries that came together are written however small the messages of NATS are', async () => {
  const { messages, trail } = world();
  await trail.open();
  for (let n = 0; n < 600; n += 1)
    trail.refused({
      who: 'a name of some length',
      id: 'k-0123456789abcdef',
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
