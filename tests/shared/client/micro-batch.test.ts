import { expect, test } from 'vitest';
import { MicroBatch } from '#shared/client/micro-batch.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';

/** A batch whose replies are its items doubled, and what was sent. */
function doubling(limits: { itemsMax?: number; bytesMax?: number } = {}) {
  const sent: (readonly number[])[] = [];
  const batch = new MicroBatch<number, number>({
    itemsMax: limits.itemsMax ?? 100,
    bytesMax: limits.bytesMax ?? 1_000,
    send: async (items) => {
      sent.push(items);
      return Promise.resolve(items.map((item): Result<number> => accept(item * 2)));
    },
  });
  return { batch, sent };
}

test('what is added in one turn goes out as one batch, and each caller gets its own reply', async () => {
  const { batch, sent } = doubling();
  expect(await Promise.all([1, 2, 3].map((item) => batch.add(item)))).toEqual([2, 4, 6]);
  expect(sent).toEqual([[1, 2, 3]]);
});

test('callers that go on in the microtasks of one turn share a batch', async () => {
  const { batch, sent } = doubling();
  const caller = async (item: number) => {
    for (let step = 0; step < item; step += 1) await Promise.resolve();
    return batch.add(item);
  };
  await Promise.all([caller(1), caller(5), caller(9)]);
  expect(sent).toEqual([[1, 5, 9]]);
});

test('a later turn is another batch', async () => {
  const { batch, sent } = doubling();
  await batch.add(1);
  await batch.add(2);
  expect(sent).toEqual([[1], [2]]);
});

test('a full batch goes out at once, and the rest follows', async () => {
  const { batch, sent } = doubling({ itemsMax: 2 });
  await Promise.all([1, 2, 3].map((item) => batch.add(item)));
  expect(sent).toEqual([[1, 2], [3]]);
});

test('an item that would pass the bytes of a batch starts the next one', async () => {
  const { batch, sent } = doubling({ bytesMax: 10 });
  await Promise.all([batch.add(1, 6), batch.add(2, 6), batch.add(3, 4), batch.add(4, 99)]);
  expect(sent).toEqual([[1], [2, 3], [4]]);
});

test('a flush sends what has gathered before the turn ends', async () => {
  const { batch, sent } = doubling();
  const first = batch.add(1);
  batch.flush();
  batch.flush();
  expect(sent).toEqual([[1]]);
  await Promise.all([first, batch.add(2)]);
  expect(sent).toEqual([[1], [2]]);
});

test('a refused item rejects with its code and leaves its neighbours alone', async () => {
  const batch = new MicroBatch<number, number>({
    itemsMax: 10,
    bytesMax: 10,
    send: (items) =>
      Promise.resolve(items.map((item) => (item < 0 ? refuse('conflict', 'negative') : accept(item)))),
  });
  const outcomes = await Promise.allSettled([batch.add(1), batch.add(-1), batch.add(2)]);
  expect(outcomes).toMatchObject([{ value: 1 }, { reason: { code: 'conflict', status: 409 } }, { value: 2 }]);
});

test('a send that throws refuses every item with its error, and the next batch goes on', async () => {
  let broken = true;
  const batch = new MicroBatch<number, number>({
    itemsMax: 10,
    bytesMax: 10,
    send: (items) =>
      broken ? Promise.reject(new Error('no wire')) : Promise.resolve(items.map((item) => accept(item))),
  });
  const outcomes = await Promise.allSettled([batch.add(1), batch.add(2)]);
  expect(outcomes).toMatchObject([{ reason: { message: 'no wire' } }, { reason: { message: 'no wire' } }]);
  broken = false;
  expect(await batch.add(3)).toBe(3);
});

test('a reply with too few items refuses those that were left out', async () => {
  const batch = new MicroBatch<number, number>({
    itemsMax: 10,
    bytesMax: 10,
    send: () => Promise.resolve([accept(1)]),
  });
  const outcomes = await Promise.allSettled([batch.add(1), batch.add(2)]);
  expect(outcomes).toMatchObject([{ value: 1 }, { reason: { code: 'internal' } }]);
});
