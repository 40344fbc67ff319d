import { expect, test } from 'vitest';
import { readDequeue } from '#services/queue-broker/queue-requests.ts';
import { type Caller, dequeueWork } from '#services/queue-broker/queue-works.ts';
import { sleep } from '#shared/runtime/clock.ts';
import { MadePartition } from './made-partition.ts';
import { value } from './made-table.ts';

/** `max_payload` of the NATS that Trivet asks for: a larger record could not be sent, ever. */
const natsBytesMax = 8 * 1_048_576;

test('however many wait and are served at once, no record is larger than NATS takes', async () => {
  const made = await MadePartition.make();
  const { clock, partition, stream } = made;
  const waiters = 12_000;
  await made.answer('pause', {});
  for (let from = 0; from < waiters; from += 1_000)
    await made.enqueue(Array.from({ length: 1_000 }, (_, n) => ({ payload: from + n })));
  const served = new Set<string>();
  const caller: Caller = {
    value: () => undefined,
    refuse: () => undefined,
    lease: (_, items) => () => items.forEach(({ item }) => served.add(String(item.order))),
    written: () => () => undefined,
    writtenWithNext: () => () => undefined,
  };
  for (let n = 0; n < waiters; n += 1) {
    const claim = `${n} `.padEnd(256, '日');
    const request = value(readDequeue('mail', { wait: '60s', worker: 'w'.repeat(64) }, claim));
    partition.submit(dequeueWork(partition, request, caller));
  }
  await clock.advance(1_000);
  expect(partition.waiting.has('mail')).toBe(true);
  const { lastSequence } = stream.describe();
  await made.answer('resume', {});
  await clock.advance(5_000);
  const sizes: number[] = [];
  for (let sequence = lastSequence + 1; sequence <= stream.describe().lastSequence; sequence += 1) {
    const record = stream.at(sequence);
    if (record !== undefined && record.kind !== 'foreign') sizes.push(record.data.length);
  }
  expect(Math.max(...sizes)).toBeLessThan(natsBytesMax);
  expect(served.size).toBe(waiters);
}, 120_000);

test('however many grew too old at once, a dequeue expires some in its record, and whoever waits gets what is behind them', async () => {
  const made = await MadePartition.make();
  const { clock, partition, stream } = made;
  for (let batch = 0; batch < 20; batch += 1)
    await made.enqueue(Array.from({ length: 1_000 }, () => ({ payload: 1, expires: '1h' })));
  await made.enqueue([{ payload: 'young' }]);
  const { lastSequence } = stream.describe();
  const heard: number[] = [];
  const caller: Caller = {
    value: () => heard.push(0),
    refuse: () => undefined,
    lease: (_, items) => () => heard.push(...items.map(({ item }) => item.order)),
    written: () => () => undefined,
    writtenWithNext: () => () => undefined,
  };
  // Nothing is decided for longer than the items may wait: the broker was away.
  const away = partition.atRest(() => sleep(clock, 4_000_000));
  await clock.advance(3_999_999);
  const request = value(readDequeue('mail', { wait: '60s' }, undefined));
  partition.submit(dequeueWork(partition, request, caller));
  await clock.until(away);
  await clock.advance(1_000);
  let largest = 0;
  for (let sequence = lastSequence + 1; sequence <= stream.describe().lastSequence; sequence += 1) {
    const record = stream.at(sequence);
    if (record !== undefined && record.kind !== 'foreign') largest = Math.max(largest, record.data.length);
  }
  expect(heard).toEqual([20_001]);
  expect(largest).toBeLessThan(131_072);
}, 60_000);
