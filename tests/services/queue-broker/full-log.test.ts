import { expect, test } from 'vitest';
import { MadePartition } from './made-partition.ts';

interface Held {
  readonly id: string;
  readonly token: number;
}

/** A partition of which the log has no room for claims any more, and an item of it that a worker holds. */
async function fullOfLeases(beforeThat: (made: MadePartition) => void = () => undefined) {
  const made = await MadePartition.make({}, 100_000);
  await made.enqueue([{ payload: 1 }, { payload: 2 }]);
  const [held, other] = (await made.dequeue({ max: 2, lease: '1h' })) as [Held, Held];
  beforeThat(made);
  while (made.partition.gauge.hasRoom('claims')) await made.answer('extend', { ...held, lease: '1h' });
  return { made, held, other };
}

test('nothing is handed out by a log that is too full for claims, neither to who fetches nor to who waits', async () => {
  const { made, held, other } = await fullOfLeases((partition) => void partition.dequeue({ wait: '60s' }));
  const { partition } = made;
  await made.answer('pause', {});
  expect(await made.answer('release', { ...other })).toMatchObject({ value: { state: 'pending' } });
  await made.answer('resume', {});
  expect(await made.answer('complete', { ...held, fetch: { max: 1 } })).toMatchObject({
    value: { state: 'done' },
  });
  expect(partition.table.queue('mail')?.counts).toMatchObject({ pending: 1, processing: 0 });
});

test('who waits is served once the log has room again', async () => {
  const heard: unknown[] = [];
  const { made, held } = await fullOfLeases(
    (partition) => void partition.dequeue({ wait: '60s' }).then((items) => heard.push(items)),
  );
  const { partition, clock, stream } = made;
  await made.answer('release', { ...held });
  expect(partition.waiting.has('mail')).toBe(true);
  await clock.until(partition.renewFence());
  await clock.until(partition.purgeLog(stream.describe().lastFence));
  await clock.advance(1_000);
  expect(partition.waiting.has('mail')).toBe(false);
  expect(partition.table.queue('mail')?.counts).toMatchObject({ pending: 0, processing: 2 });
});
