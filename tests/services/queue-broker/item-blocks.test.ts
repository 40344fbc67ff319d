import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Block, Left, blockOrders, encodeBlock, isFresh } from '#services/queue-broker/block-codec.ts';
import { nothingApplied } from '#services/queue-broker/core/applied.ts';
import type { Item } from '#services/queue-broker/core/item.ts';
import { emptyChanges } from '#services/queue-broker/core/overlay.ts';
import { decodeItem } from '#services/queue-broker/item-codec.ts';
import type { ItemStore } from '#services/queue-broker/item-store.ts';
import { LmdbStore } from '#services/queue-broker/lmdb-store.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { openEnvironment } from '#shared/runtime/lmdb.ts';
import { anyItem, enqueuedItem } from './made-items.ts';

let path: string;
let store: LmdbStore;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'trivet-blocks-'));
  store = new LmdbStore(path);
});

afterEach(async () => {
  await store.close();
  await rm(path, { recursive: true, force: true });
});

async function reopen(): Promise<void> {
  await store.close();
  store = new LmdbStore(path);
}

let sequence = 0;

async function commit(
  to: ItemStore,
  items: Iterable<readonly [number, Item | null]>,
  edited: Iterable<number> = [],
): Promise<void> {
  sequence += 1;
  const changes = { ...emptyChanges(), items: new Map(items), edited: new Set(edited) };
  await to.commit(changes, { applied: { ...nothingApplied, sequence }, logIdentity: 'a log' });
}

const enqueue = (from: number, to: number): (readonly [number, Item])[] =>
  Array.from({ length: to - from + 1 }, (_, index) => [from + index, enqueuedItem({ order: from + index })]);

async function viewed(from: ItemStore): Promise<Map<number, Item>> {
  const items = new Map<number, Item>();
  const view = from.view();
  for await (const rows of view.rows()) {
    for (const row of rows) {
      if (row.kind !== 'item') continue;
      expect(items.has(row.order)).toBe(false);
      items.set(row.order, decodeItem(row.bytes));
    }
  }
  view.close();
  return items;
}

const anyEnqueued = (order: number) =>
  fc
    .record({
      queue: fc.constantFrom('mail', 'mail', 'mail', 'images'),
      band: fc.integer({ min: 0, max: 3 }),
      attemptsMax: fc.constantFrom(5, 5, 5, 7),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
        fc.constantFrom(2_048, 2_000, 1).map((length) => Buffer.alloc(length, 'x')),
      ),
      payloadIsJson: fc.boolean(),
      at: fc.integer({ min: 0, max: 9_999_999_999_999 }),
      readyOrder: fc.integer({ min: 1, max: 2 ** 50 }),
      delayMs: fc.constantFrom(1_000, 1_000, 2_000),
    })
    .map(({ delayMs, ...rest }) =>
      enqueuedItem({ order, ...rest, backoff: { kind: 'fixed' as const, delayMs } }),
    );

test('the items of a block come back as they were, alone and together', () => {
  const block = fc.integer({ min: 0, max: 2 ** 40 }).chain((number) =>
    fc
      .subarray(Array.from({ length: blockOrders }, (_, place) => number * blockOrders + place))
      .chain((orders) => fc.tuple(...orders.map(anyEnqueued)))
      .map((items) => ({ number, items })),
  );
  fc.assert(
    fc.property(block, fc.infiniteStream(fc.boolean()), ({ number, items }, leaves) => {
      const { bytes, count } = encodeBlock(items);
      const stored = items.slice(0, count);
      // Payloads of two kilobytes do not all find room.
      if (items.every(({ payloadBytes }) => payloadBytes < 400)) expect(count).toBe(items.length);
      const left = Left.of(stored);
      expect([...new Block(number, bytes).items(left)]).toEqual(stored);
      for (const item of stored) expect(new Block(number, bytes).item(item.order)).toEqual(item);
      const kept = stored.filter(() => leaves.next().value);
      for (const item of stored) if (!kept.includes(item)) left.remove(item.order);
      const cleaned = new Block(number, new Block(number, bytes).only(left));
      expect([...cleaned.items(left)]).toEqual(kept);
      for (const item of stored)
        if (!kept.includes(item)) expect(() => cleaned.item(item.order)).toThrow('has nothing in place');
    }),
    { numRuns: 200 },
  );
});

test('an item with anything special about it stands in no block', () => {
  const plain = enqueuedItem({ order: 1 });
  expect(isFresh(plain)).toBe(true);
  const whatever = new Set([
    'order',
    'queue',
    'band',
    'readyOrder',
    'attemptsMax',
    'backoff',
    'payloadIsJson',
  ]);
  for (const name of Object.keys(plain)) {
    if (whatever.has(name) || name === 'payloadBytes') continue;
    const other =
      name === 'inline' ? undefined : name === 'attempts' || name === 'transitions' ? [{}, {}] : 7;
    expect(isFresh({ ...plain, [name]: other }), name).toBe(false);
  }
  fc.assert(fc.property(anyItem, (item) => !isFresh(item)));
});

test('whatever is enqueued, changed and removed, the rows are those of a store without blocks', async () => {
  interface Act {
    readonly what: 'enqueue' | 'change' | 'retry' | 'edit' | 'remove';
    readonly count: number;
    readonly seed: number;
  }
  const act: fc.Arbitrary<Act> = fc.record({
    what: fc.constantFrom('enqueue', 'enqueue', 'change', 'change', 'retry', 'edit', 'remove', 'remove'),
    count: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 300 })),
    seed: fc.integer({ min: 0, max: 1_000 }),
  });
  /** What happens before the next commit, and what follows it. */
  const window = fc.record({
    acts: fc.array(act, { minLength: 1, maxLength: 5 }),
    after: fc.constantFrom('go on', 'go on', 'go on', 'reopen', 'clear'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(window, { minLength: 1, maxLength: 8 }), async (windows) => {
      const model = new MemoryStore();
      await store.clear({ applied: nothingApplied, logIdentity: 'a log' });
      let next = 1;
      for (const { acts, after } of windows) {
        const changes = new Map<number, Item | null>();
        const edited = new Set<number>();
        for (const { what, count, seed } of acts) {
          if (what === 'enqueue') {
            for (let made = 0; made < count; made += 1) {
              // Now and then one that was worked on, or is gone, before it was stored; and now and then none.
              const special = (made * 7 + seed) % 53;
              const item = enqueuedItem({ order: next, payload: Buffer.from(`"${next}"`) });
              if (special > 1)
                changes.set(next, special > 2 ? item : { ...item, state: 'done', attempt: 1, token: 5 });
              else if (special === 1) changes.set(next, null);
              next += 1;
            }
            continue;
          }
          const known = [...model.items()]
            .filter(({ order }) => !changes.has(order))
            .concat([...changes.values()].filter((item) => item !== null));
          const start = known.length === 0 ? 0 : (seed * 37) % known.length;
          for (const item of known.slice(start, start + count)) {
            if (what === 'remove') changes.set(item.order, null);
            if (what === 'change') changes.set(item.order, { ...item, state: 'processing', token: seed + 1 });
            if (what === 'retry') changes.set(item.order, { ...item, state: 'retry', runAt: seed });
            if (what === 'edit') {
              edited.add(item.order);
              changes.set(item.order, { ...item, inline: Buffer.from('"new"'), payloadBytes: 5 });
            }
          }
        }
        await commit(store, changes, edited);
        await commit(model, changes);
        if (after === 'reopen') await reopen();
        const expected = [...model.items()].toSorted((a, b) => a.order - b.order);
        expect([...store.items()]).toEqual(expected);
        for (let order = 0; order < next + 3; order += 1)
          expect(store.item(order)).toEqual(model.item(order));
        expect([...(await viewed(store)).values()]).toEqual(expected);
        if (after === 'clear') {
          for (const each of [store, model])
            await each.clear({ applied: nothingApplied, logIdentity: 'a log' });
          next = 1;
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('a view keeps the items that have left their block since, and those that were removed', async () => {
  await commit(store, enqueue(1, 300));
  const view = store.view();
  await commit(
    store,
    enqueue(1, 200).map(([order, item]) => [order, order % 2 === 0 ? null : { ...item, token: 9 }]),
  );
  const orders: number[] = [];
  for await (const rows of view.rows())
    for (const row of rows) if (row.kind === 'item') orders.push(decodeItem(row.bytes).token + row.order);
  view.close();
  expect(orders).toEqual(enqueue(1, 300).map(([order]) => order));
  expect([...store.items()]).toHaveLength(200);
});

test('a view that is not read to its end holds no pages back', async () => {
  await commit(store, enqueue(1, 1_000));
  const worked = (token: number) =>
    enqueue(1, 200).map(([order, item]): readonly [number, Item] => [
      order,
      { ...item, token, result: Buffer.alloc(1_000, 'x') },
    ]);
  await commit(store, worked(1));
  for (let views = 0; views < 3; views += 1) {
    const view = store.view();
    for await (const rows of view.rows()) if (rows.length > 0) break;
    view.close();
  }
  const sizes: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    for (let token = 2; token < 30; token += 1) await commit(store, worked(token));
    await store.flushed();
    sizes.push((await stat(join(path, 'data.mdb'))).size);
  }
  // Pages are used again: what is overwritten over and over takes no more room in the end.
  expect(sizes[2]).toBe(sizes[1]);
});

test('a burst that fills a block whose first items have rows of their own is stored with what becomes of those', async () => {
  await commit(store, enqueue(1, 127));
  await commit(store, enqueue(128, 130));
  const claimed = enqueue(1, 10).map(([order, item]): readonly [number, Item] => [
    order,
    { ...item, state: 'processing', attempt: 1, token: 3 },
  ]);
  const [[, failed] = []] = enqueue(128, 128);
  if (failed === undefined) throw new Error('there is no such item');
  const retried: Item = { ...failed, state: 'retry', attempt: 1, runAt: 99 };
  await commit(store, [...claimed, ...enqueue(131, 300), [128, retried], [129, null]]);
  await reopen();
  expect(store.item(5)).toEqual(claimed[4]?.[1]);
  expect(store.item(128)).toEqual(retried);
  expect([...store.items()].map(({ order }) => order)).toEqual(
    enqueue(1, 300)
      .map(([order]) => order)
      .filter((order) => order !== 129),
  );
});

test('of a payload that was removed or replaced nothing is left, however long its neighbours stay', async () => {
  const secret = (order: number) =>
    enqueuedItem({ order, payload: Buffer.from(`"secret of ${order}, which nobody may find"`) });
  const items = Array.from({ length: 128 }, (_, index) => secret(index));
  await commit(
    store,
    items.map((item) => [item.order, item]),
  );
  const worked = { ...secret(20), state: 'processing' as const, attempt: 1, token: 3 };
  await commit(store, [[20, worked]]);
  const another = (order: number) => ({ ...secret(order), inline: Buffer.from('"another"') });
  await commit(
    store,
    [
      [10, null],
      [11, another(11)],
      // Edited, and claimed before that was stored.
      [13, { ...another(13), state: 'processing', attempt: 1, token: 4 }],
      [20, null],
    ],
    [11, 13],
  );
  for (const order of [9, 12, 19, 21]) expect(store.item(order)).toEqual(secret(order));
  await store.close();
  const environment = openEnvironment({ path });
  const rows = [...environment.table('blocks').getRange()].map(({ value }) => value.toString('latin1'));
  await environment.close();
  store = new LmdbStore(path);
  expect(rows).toHaveLength(1);
  for (const order of [10, 11, 13, 20]) expect(rows[0]).not.toContain(`"secret of ${order},`);
  for (const order of [9, 12, 19, 21]) expect(rows[0]).toContain(`"secret of ${order},`);
});

test('a table with blocks is refused by a broker that does not know them, one without is not', async () => {
  await commit(store, enqueue(1, 3));
  expect(store.position()?.version).toBeUndefined();
  await commit(store, enqueue(4, 200));
  expect(store.position()?.version).toBe(2);
  await commit(
    store,
    enqueue(1, 200).map(([order]) => [order, null]),
  );
  expect(store.position()?.version).toBeUndefined();
});

test('a backlog of small items takes a fraction of the room that rows of their own would', async () => {
  await commit(store, enqueue(1, 20_000));
  await store.flushed();
  const { length } = await readFile(join(path, 'data.mdb'));
  expect(length / 20_000).toBeLessThan(60);
});

test.each([
  ['a new block', () => Left.of([enqueuedItem({ order: 1 })])],
  ['a stored one', () => Left.read(new Uint8Array(blockOrders / 8))],
])('what is remembered of %s shares no memory with payloads', (_, make) => {
  // Both come out of Node's pool otherwise, and a few bytes that stay keep all that they came with.
  const before = Buffer.allocUnsafe(8);
  const left = make();
  const after = Buffer.allocUnsafe(8);
  expect([before.buffer, after.buffer]).not.toContain(left.bits.buffer);
});
