import { expect, test } from 'vitest';
import { MadePartition } from './made-partition.ts';

const ended = { done: { count: 0 }, failed: { count: 0 } };

test('who waits gets the final view of an item that is kept no longer than its end', async () => {
  const made = await MadePartition.make({ retention: ended });
  const large = 'x'.repeat(10_000);
  const ids = await made.enqueue([{ payload: large }, { payload: 2 }, { payload: 3 }]);
  const leased = await made.dequeue({ max: 2 });
  const heard = ids.map((id) => made.ask('result', { id, wait: '60s' }));
  await made.clock.advance(100);
  await made.answer('complete', { ...leased[0], result: { sum: 5 } });
  await made.answer('fail', { ...leased[1], retry: false, error: { message: 'no' } });
  await made.answer('cancel', { id: ids[2] });
  expect(heard).toMatchObject([
    [{ value: { id: ids[0], state: 'done', result: { sum: 5 }, payload: large } }],
    [{ value: { id: ids[1], state: 'failed', attempts: [{ error: { message: 'no' } }] } }],
    [{ value: { id: ids[2], state: 'cancelled', payload: 3 } }],
  ]);
  for (const id of ids) expect(await made.answer('result', { id })).toEqual({ code: 'not_found' });
});

test('the end that was waited for is told even when the item is replayed in the same record', async () => {
  const made = await MadePartition.make();
  const [id] = await made.enqueue([{ payload: 1 }]);
  const [leased] = await made.dequeue();
  const heard = made.ask('result', { id, wait: '60s' });
  await made.clock.advance(100);
  made.ask('fail', { ...leased, retry: false, error: { message: 'no' } });
  made.ask('replay', { id });
  await made.clock.advance(100);
  expect(heard).toMatchObject([{ value: { state: 'failed' } }]);
  expect(await made.answer('get', { id })).toMatchObject({ value: { state: 'pending' } });
});

test('when the wait is over the item is shown as it is then', async () => {
  const made = await MadePartition.make();
  const [id] = await made.enqueue([{ payload: 1 }]);
  const heard = made.ask('result', { id, wait: '5s' });
  await made.clock.advance(4_500);
  await made.dequeue();
  expect(heard).toEqual([]);
  await made.clock.advance(1_000);
  expect(heard).toMatchObject([{ value: { id, state: 'processing' } }]);
});

test('who waits hears that the broker no longer owns the queue, or that the outcome is not known', async () => {
  const made = await MadePartition.make();
  const [one, other] = await made.enqueue([{ payload: 1 }, { payload: 2 }]);
  const [leased] = await made.dequeue();
  const served = made.ask('result', { id: one, wait: '60s' });
  const waiting = made.ask('result', { id: other, wait: '60s' });
  await made.clock.advance(100);
  made.takeAway();
  const completed = await made.answer('complete', { ...leased });
  await made.clock.advance(70_000);
  expect(completed).toEqual({ code: 'timeout' });
  expect([served, waiting]).toEqual([[{ code: 'timeout' }], [{ code: 'unavailable' }]]);
});

test('who joins in the turn whose record is refused is answered once', async () => {
  const made = await MadePartition.make();
  const [id] = await made.enqueue([{ payload: 1 }]);
  made.takeAway();
  const heard = made.ask('result', { id, wait: '60s' });
  made.ask('cancel', { id });
  await made.clock.advance(70_000);
  expect(heard).toHaveLength(1);
  expect(made.losses).toHaveLength(1);
});

test('who waits for an item that is purged hears that it is not there any more', async () => {
  const made = await MadePartition.make();
  const [one, other] = await made.enqueue([{ payload: 1 }, { payload: 2 }]);
  const heard = [one, other].map((id) => made.ask('result', { id, wait: '60s' }));
  await made.clock.advance(100);
  await made.answer('purge', { id: one });
  expect(heard).toEqual([[{ code: 'not_found' }], []]);
  await made.answer('purge', { all: true });
  expect(heard).toEqual([[{ code: 'not_found' }], [{ code: 'not_found' }]]);
});
