import { expect, test } from 'vitest';
import { itemId } from '#services/queue-broker/core/item.ts';
import { readDequeue, readEnqueueMany } from '#services/queue-broker/queue-requests.ts';
import { type Caller, dequeueWork, enqueueManyWork } from '#services/queue-broker/queue-works.ts';
import { json } from '#shared/protocol/encoding.ts';
import { MadePartition } from './made-partition.ts';
import { value } from './made-table.ts';

/** Dequeues under a `Nats-Msg-Id`, and what each of them heard: orders of items, or that there are none. */
function asking({ partition }: MadePartition) {
  const heard: string[] = [];
  const leases: { readonly id: string; readonly token: number }[] = [];
  const caller = (name: string): Caller => ({
    value: () => heard.push(`${name}: none`),
    refuse: ({ code }) => heard.push(`${name}: ${code}`),
    lease: (_, items) => () => {
      heard.push(`${name}: ${items.map(({ item }) => item.order).join()}`);
      for (const { item } of items) leases.push({ id: itemId(0, item.order), token: item.token });
    },
    written: () => () => undefined,
    writtenWithNext: () => () => undefined,
  });
  return {
    heard,
    leases,
    dequeue: (name: string, claim?: string, wait = '1s') => {
      const request = value(readDequeue('mail', { wait }, claim));
      partition.submit(dequeueWork(partition, request, caller(name)));
    },
    enqueue: (payload: number) => {
      const items = value(readEnqueueMany('mail', { items: [{ payload }] }, json));
      partition.submit(enqueueManyWork(items, caller('enqueue')));
    },
  };
}

test('who is served at once leaves no question of the same name behind that waits', async () => {
  const made = await MadePartition.make();
  const { heard, leases, dequeue, enqueue } = asking(made);
  dequeue('other');
  dequeue('lost', 'question');
  await made.clock.advance(100);
  // In one turn, before anybody who waits is served.
  enqueue(1);
  dequeue('again', 'question');
  await made.clock.advance(100);
  expect(heard).toEqual(['again: 1']);
  await made.answer('complete', leases[0] ?? {});
  enqueue(2);
  enqueue(3);
  await made.clock.advance(1_000);
  expect(heard).toEqual(['again: 1', 'other: 2', 'lost: none']);
});

test('two that ask under one name again and again do not send each other away again and again', async () => {
  const made = await MadePartition.make();
  const { heard, dequeue } = asking(made);
  dequeue('a', 'shared');
  dequeue('b', 'shared');
  await made.clock.advance(999);
  expect(heard).toEqual([]);
  await made.clock.advance(1);
  expect(heard).toEqual(['a: none', 'b: none']);
});
