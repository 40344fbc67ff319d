import { expect, test } from 'vitest';
import { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { FencedError } from '#services/queue-broker/partition-log.ts';
import { recoverPartition } from '#services/queue-broker/partition-recovery.ts';
import { Partition } from '#services/queue-broker/partition.ts';
import { readDequeue, readEnqueueMany } from '#services/queue-broker/queue-requests.ts';
import { type Caller, dequeueWork, enqueueManyWork, plainWork } from '#services/queue-broker/queue-works.ts';
import { accept } from '#shared/protocol/errors.ts';
import { json } from '#shared/protocol/encoding.ts';
import { createLog } from '#shared/runtime/log.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { VirtualLog, VirtualStream, calmNetwork } from '#tests/support/virtual-log.ts';
import { transitions } from '#tests/support/virtual-world.ts';
import { defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import { value } from './made-table.ts';

/** One partition on a quiet network. */
async function owned(holds: () => boolean = () => true, announce: () => void = () => undefined) {
  const clock = new VirtualClock();
  const stream = new VirtualStream();
  const store = new MemoryStore();
  const records = new VirtualLog({ stream, world: clock, process: clock, network: calmNetwork });
  const shared = { partition: 0, broker: 'a', clock, log: createLog('test', 'silent'), records, store };
  const snapshots = new MemorySnapshots();
  const recovery = { ...shared, snapshots, transitions, defaults: defaultSettings };
  const recovered = await clock.until(recoverPartition(recovery));
  const losses: unknown[] = [];
  const partition = new Partition({
    ...shared,
    ...recovered,
    random01: () => 0.5,
    holds,
    announcement: () => announce,
    lost: (error) => losses.push(error),
  });
  return { clock, stream, store, records, partition, losses };
}

/** Somebody raises a fence of his own: the partition is lost, and its owner does not know it. */
function takeAway(stream: VirtualStream): void {
  stream.store({ kind: 'fence', data: new Uint8Array(), expectedFence: stream.lastFence });
}

function listener() {
  const heard: string[] = [];
  const caller: Caller = {
    value: (answer) => heard.push(JSON.stringify(answer)),
    refuse: ({ code }) => heard.push(code),
    lease: (_, items) => () => heard.push(`leased ${items.length}`),
    written: (answer) => () => heard.push(answer.json()),
    writtenWithNext: (_, answer) => () => heard.push(answer.json()),
  };
  return { heard, caller };
}

const oneItem = () => value(readEnqueueMany('mail', { items: [{ payload: 1 }] }, json));

test('a decision that the log refused is not stored, even when the partition is drained at that moment', async () => {
  const { clock, stream, store, partition, losses } = await owned();
  await clock.advance(100);
  takeAway(stream);
  const { heard, caller } = listener();
  partition.submit(enqueueManyWork(oneItem(), caller));
  await clock.until(partition.drain());
  expect(losses[0]).toBeInstanceOf(FencedError);
  expect(heard).toEqual(['timeout']);
  expect([...store.items()]).toEqual([]);
});

test('a dequeue that waits is answered once when its partition is lost', async () => {
  const { clock, stream, partition } = await owned();
  const waiting = listener();
  const call = value(readDequeue('mail', { wait: '5s' }, undefined));
  takeAway(stream);
  partition.submit(
    enqueueManyWork(value(readEnqueueMany('other', { items: [{ payload: 1 }] }, json)), listener().caller),
  );
  partition.submit(dequeueWork(partition, call, waiting.caller));
  await clock.advance(10_000);
  expect(waiting.heard).toEqual(['{"items":[]}']);
});

test('a dequeue that was served by a record that the log refused hears that the outcome is not known', async () => {
  const { clock, stream, partition } = await owned();
  const waiting = listener();
  partition.submit(
    dequeueWork(partition, value(readDequeue('mail', { wait: '5s' }, undefined)), waiting.caller),
  );
  await clock.advance(10);
  takeAway(stream);
  partition.submit(enqueueManyWork(oneItem(), listener().caller));
  await clock.advance(10_000);
  expect(waiting.heard).toEqual(['timeout']);
});

test('the next record is on its way before the answers of the one before it are made, and answered after them', async () => {
  const { clock, records, partition } = await owned();
  await clock.advance(100);
  const { heard, caller } = listener();
  const append = records.append.bind(records);
  let appends = 0;
  records.append = (batch, position) => {
    appends += 1;
    heard.push(`record ${appends}`);
    return append(batch, position);
  };
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written: () => () => heard.push('first') }));
  await Promise.resolve();
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written: () => () => heard.push('second') }));
  await clock.advance(100);
  expect(heard).toEqual(['record 1', 'record 2', 'first', 'second']);
});

test('live events go out before the answers of their record', async () => {
  const { heard, caller } = listener();
  const { clock, partition } = await owned(undefined, () => heard.push('event'));
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written: () => () => heard.push('answer') }));
  await clock.advance(100);
  expect(heard).toEqual(['event', 'answer']);
});

test('an answer is put together while its record is written, sent once it is durable, and on the wire before the rows are stored', async () => {
  const { clock, records, store, partition } = await owned();
  await clock.advance(100);
  const { heard, caller } = listener();
  const append = records.append.bind(records);
  records.append = async (batch, position) => {
    heard.push('record');
    const sequence = await append(batch, position);
    heard.push('durable');
    return sequence;
  };
  const commit = store.commit.bind(store);
  store.commit = (changes, position) => {
    heard.push('rows');
    return commit(changes, position);
  };
  const written = () => {
    heard.push('put together');
    return () => {
      heard.push('sent');
      queueMicrotask(() => heard.push('on the wire'));
    };
  };
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written }));
  await clock.advance(100);
  expect(heard).toEqual(['record', 'put together', 'durable', 'sent', 'on the wire', 'rows']);
});

test('an answer does not wait for those of the next record to be put together', async () => {
  const { clock, partition } = await owned();
  await clock.advance(100);
  const { heard, caller } = listener();
  const written = (name: string) => () => {
    heard.push(`${name} put together`);
    return () => heard.push(`${name} sent`);
  };
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written: written('first') }));
  await Promise.resolve();
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written: written('second') }));
  await clock.advance(100);
  expect(heard).toEqual(['first put together', 'first sent', 'second put together', 'second sent']);
});

test('an answer that cannot be put together is a defect that ends the ownership, after those before it were sent', async () => {
  const { clock, partition, losses } = await owned();
  await clock.advance(100);
  const { heard, caller } = listener();
  const broken = () => {
    throw new Error('broken');
  };
  partition.submit(enqueueManyWork(oneItem(), caller));
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written: broken }));
  await clock.advance(100);
  expect(heard).toHaveLength(1);
  expect(losses).toEqual([new Error('broken')]);
});

test('an answer whose record did not become durable is not sent, however far it was put together', async () => {
  const { clock, stream, partition } = await owned();
  await clock.advance(100);
  const { heard, caller } = listener();
  takeAway(stream);
  const written = () => {
    heard.push('put together');
    return () => heard.push('sent');
  };
  partition.submit(enqueueManyWork(oneItem(), { ...caller, written }));
  await clock.advance(100);
  expect(heard).toEqual(['put together', 'timeout']);
});

test('an owner whose lease is not fresh answers no question before the log has confirmed it', async () => {
  const { clock, stream, partition, losses } = await owned(() => false);
  await clock.advance(100);
  const { heard, caller } = listener();
  const question = () => plainWork(caller, (turn) => accept(turn.table.queues.size));
  partition.submit(question());
  await clock.advance(100);
  expect(heard).toEqual(['0']);
  takeAway(stream);
  partition.submit(question());
  await clock.advance(100);
  expect(heard).toEqual(['0', 'timeout']);
  expect(losses[0]).toBeInstanceOf(FencedError);
});

test('an owner whose lease is fresh answers a question without writing anything', async () => {
  const { clock, stream, partition } = await owned();
  await clock.advance(100);
  const before = stream.describe().lastSequence;
  const { heard, caller } = listener();
  partition.submit(plainWork(caller, () => accept('here')));
  await clock.advance(100);
  expect(heard).toEqual(['"here"']);
  expect(stream.describe().lastSequence).toBe(before);
});
