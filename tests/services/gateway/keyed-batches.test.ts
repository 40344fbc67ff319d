import { expect, test } from 'vitest';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import { KeyedBatches } from '#services/gateway/keyed-batches.ts';

/** Batches whose answers the test gives, one by one. */
function made(itemsMax = 100, bytesMax = 1_000) {
  const sent: { readonly key: string; readonly items: readonly number[]; readonly answer: () => void }[] = [];
  const clock = new ManualClock(0);
  const batches = new KeyedBatches<number, number>({
    clock,
    itemsMax,
    bytesMax,
    send: (key, items) =>
      new Promise<readonly Result<number>[]>((resolve) => {
        sent.push({ key, items, answer: () => resolve(items.map((item) => accept(item * 2))) });
      }),
  });
  return { sent, batches, clock };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('what is asked in one turn leaves together, by key, and everybody gets an answer of their own', async () => {
  const { sent, batches } = made();
  const asked = [batches.add('a', 1, 1), batches.add('b', 2, 1), batches.add('a', 3, 1)];
  await turn();
  expect(sent.map(({ key, items }) => [key, items])).toEqual([
    ['a', [1, 3]],
    ['b', [2]],
  ]);
  for (const one of sent) one.answer();
  expect(await Promise.all(asked)).toEqual([accept(2), accept(4), accept(6)]);
});

test('while one message is on its way, the others gather until they are as many', async () => {
  const { sent, batches } = made();
  for (const item of [0, 1, 2]) void batches.add('a', item, 1);
  await turn();
  for (const item of [3, 4]) void batches.add('a', item, 1);
  await turn();
  expect(sent.map(({ items }) => items)).toEqual([[0, 1, 2]]);
  void batches.add('a', 5, 1);
  await turn();
  expect(sent.map(({ items }) => items)).toEqual([
    [0, 1, 2],
    [3, 4, 5],
  ]);
  void batches.add('a', 6, 1);
  for (const one of sent) one.answer();
  await turn();
  await turn();
  expect(sent[2]?.items).toEqual([6]);
});

test('few who wait for a large message leave as soon as it is answered', async () => {
  const { sent, batches } = made();
  for (let item = 0; item < 50; item += 1) void batches.add('a', item, 1);
  await turn();
  const late = batches.add('a', 50, 1);
  await turn();
  expect(sent).toHaveLength(1);
  sent[0]?.answer();
  await turn();
  await turn();
  expect(sent[1]?.items).toEqual([50]);
  sent[1]?.answer();
  expect(await late).toEqual(accept(100));
});

test('nobody waits long for others: a message that is not answered holds up nobody behind it', async () => {
  const { sent, batches, clock } = made();
  for (let item = 0; item < 50; item += 1) void batches.add('a', item, 1);
  await turn();
  void batches.add('a', 50, 1);
  await clock.advance(24, async () => void (await turn()));
  expect(sent).toHaveLength(1);
  await clock.advance(1, async () => void (await turn()));
  expect(sent[1]?.items).toEqual([50]);
  expect(clock.count).toBe(0);
});

test('what does not fit into one message does not wait for others for ever either', async () => {
  const { sent, batches, clock } = made(3);
  for (let item = 0; item < 4; item += 1) void batches.add('a', item, 1);
  await turn();
  expect(sent.map(({ items }) => items)).toEqual([[0, 1, 2]]);
  await clock.advance(25, async () => void (await turn()));
  expect(sent[1]?.items).toEqual([3]);
});

test('while two messages of a key are on their way, the others gather and leave with the next answer', async () => {
  const { sent, batches } = made();
  const asked: Promise<unknown>[] = [];
  for (let item = 0; item < 10; item += 1) {
    asked.push(batches.add('a', item, 1));
    await turn();
  }
  expect(sent.map(({ items }) => items)).toEqual([[0], [1]]);
  sent[0]?.answer();
  await turn();
  await turn();
  expect(sent[2]?.items).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  sent[1]?.answer();
  sent[2]?.answer();
  expect(await Promise.all(asked)).toHaveLength(10);
});

test('a message has at most so many items and bytes, and always one', async () => {
  const { sent, batches } = made(3, 10);
  for (const bytes of [1, 1, 1, 1, 9, 50]) void batches.add('a', bytes, bytes);
  await turn();
  expect(sent.map(({ items }) => items)).toEqual([
    [1, 1, 1],
    [1, 9],
  ]);
  for (const one of sent) one.answer();
  await turn();
  await turn();
  expect(sent[2]?.items).toEqual([50]);
});

test('a fault reaches everybody who was in the message, and the next one goes its way', async () => {
  let calls = 0;
  const batches = new KeyedBatches<number, number>({
    clock: new ManualClock(0),
    itemsMax: 10,
    bytesMax: 10,
    send: (_key, items) => {
      calls += 1;
      if (calls === 1) return Promise.reject(new Error('broken'));
      return Promise.resolve(items.slice(1).map((item) => accept(item)));
    },
  });
  await expect(batches.add('a', 1, 1)).rejects.toThrow('broken');
  expect(await Promise.all([batches.add('a', 1, 1), batches.add('a', 2, 1)])).toEqual([
    accept(2),
    refuse('internal', 'the reply of a batch has fewer items than its request'),
  ]);
});
