import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { EventLog } from '#services/cache-node/core/event-log.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { cacheEventsKeptBytesMax, replyBytesMax } from '#shared/protocol/limits.ts';

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

/** Words of the longest kind, none of them shared with another one. */
const words = (count: number, from: string, length: number) =>
  Array.from({ length: count }, (_, n) => Buffer.from(`${from}.${n}.`.padEnd(length, 'x')).toString());

test('events that are no longer kept hold no memory', () => {
  const log = new EventLog('e');
  const before = heapBytes();
  for (let event = 0; event < 400; event += 1) {
    for (const key of words(300, `${event}`, 1_000)) log.note({ kind: 'written', key, version: event + 1 });
    log.take();
  }
  expect(heapBytes() - before).toBeLessThan(4 * cacheEventsKeptBytesMax);
  expect(log.missed('e', 399).events).toHaveLength(1);
});

test('the tags of an event count as what is kept of it', () => {
  const log = new EventLog('e');
  for (let event = 0; event < 200; event += 1) {
    log.note({ kind: 'tags-invalidated', tags: words(1_000, `${event}`, 64), version: event + 1 });
    log.take();
  }
  // Who missed all of them is told to begin anew, instead of being sent more than one message holds.
  expect(encode(log.missed('e', 0), json).length).toBeLessThan(replyBytesMax);
  expect(log.missed('e', 0).events).toBeUndefined();
  expect(log.missed('e', 199).events).toHaveLength(1);
});
