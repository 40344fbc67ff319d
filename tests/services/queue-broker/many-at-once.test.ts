import { expect, test } from 'vitest';
import { queueOperations } from '#services/queue-broker/queue-operations.ts';
import type { QueueRequest } from '#services/queue-broker/queue-request.ts';
import { sleep } from '#shared/runtime/clock.ts';
import { MadePartition } from './made-partition.ts';

async function filled(made: MadePartition, thousands: number): Promise<void> {
  const items = Array.from({ length: 1_000 }, () => ({ payload: 1 }));
  for (let batch = 0; batch < thousands; batch += 1) await made.enqueue(items);
}

test('however many items are cancelled while a record is under way, each cancel is answered', async () => {
  const made = await MadePartition.make();
  const { partition, clock } = made;
  await filled(made, 150);
  const away = partition.atRest(() => sleep(clock, 1_000));
  const heard = Array.from({ length: 150 }, () => made.ask('cancel', { state: 'pending' }));
  await clock.until(away);
  await clock.advance(1_000);
  expect(made.losses).toEqual([]);
  for (const answers of heard) expect(answers).toEqual([{ value: { count: 1_000 } }]);
  expect(partition.table.queue('mail')?.counters.finished.cancelled).toBe(150_000);
}, 120_000);

test.for([
  ['cancel', { state: 'pending' }],
  ['replay', { state: 'failed', limit: 500 }],
  ['purge', { state: 'cancelled' }],
] as const)('%s says beforehand at least what it adds to the log', async ([operation, body]) => {
  const made = await MadePartition.make();
  await filled(made, 1);
  if (operation === 'purge') await made.answer('cancel', { state: 'pending' });
  if (operation === 'replay') {
    const items = (await made.dequeue({ max: 1_000 })).map((item) => ({
      ...item,
      error: { message: '' },
      retry: false,
    }));
    await made.answer('fail', { items });
  }
  let said = 0;
  const request = {
    queue: 'mail',
    caller: {},
    partition: { submit: ({ bytes }: { bytes: number }) => (said = bytes) },
  } as unknown as QueueRequest;
  queueOperations[operation](request, body, made);
  await made.answer(operation, body);
  const last = made.stream.at(made.stream.describe().lastSequence);
  expect(last?.kind === 'batch' ? last.data.length : Infinity).toBeLessThanOrEqual(said);
  expect(said).toBeGreaterThan(0);
});
