import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { nothingApplied } from '#services/queue-broker/core/applied.ts';
import type { Item } from '#services/queue-broker/core/item.ts';
import type { Changes } from '#services/queue-broker/core/overlay.ts';
import type { ItemStore, StoredPosition } from '#services/queue-broker/item-store.ts';
import { anyItem, madeItem } from './made-items.ts';

export interface OpenedStore {
  readonly store: ItemStore;
  /** Closes it and opens it again on what it has stored. */
  reopen(): Promise<ItemStore>;
  dispose(): Promise<void>;
}

/** What every table of rows promises to the partition that writes it. */
export function itemStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(name, () => {
    let opened: OpenedStore;
    let store: ItemStore;

    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });

    afterEach(() => opened.dispose());

    test('an empty store has no position and no rows', () => {
      expect(store.position()).toBeUndefined();
      expect([...store.items()]).toEqual([]);
      expect([...store.pausedQueues()]).toEqual([]);
      expect(store.item(1)).toBeUndefined();
      expect(store.payload(1)).toBeUndefined();
      expect(store.dedup('mail', 'a')).toBeUndefined();
    });

    test('what was committed is there after a restart: items, payloads, keys, pauses and the position', async () => {
      await store.commit(
        changes({
          items: [madeItem({ order: 1 }), madeItem({ order: 2, state: 'done', result: bytes('result') })],
          payloads: [
            [1, bytes('one')],
            [2, bytes('')],
          ],
          keys: [{ queue: 'mail', key: 'a', order: 1, until: 500 }],
          paused: [['mail', true]],
        }),
        at(7, 100),
      );
      store = await opened.reopen();
      expect([...store.items()]).toEqual([
        madeItem({ order: 1 }),
        madeItem({ order: 2, state: 'done', result: bytes('result') }),
      ]);
      expect(text(store.payload(1))).toBe('one');
      expect(text(store.payload(2))).toBe('');
      expect(store.dedup('mail', 'a')).toEqual({ order: 1, until: 500 });
      expect([...store.pausedQueues()]).toEqual(['mail']);
      expect(store.position()).toEqual(at(7, 100));
    });

    test('a later commit replaces and removes', async () => {
      await store.commit(
        changes({
          items: [madeItem({ order: 1 }), madeItem({ order: 2 })],
          payloads: [
            [1, bytes('one')],
            [2, bytes('two')],
          ],
          paused: [
            ['mail', true],
            ['images', true],
          ],
        }),
        at(1, 100),
      );
      const gone = changes({ items: [madeItem({ order: 1, state: 'failed' })], paused: [['mail', false]] });
      gone.items.set(2, null);
      gone.payloads.set(2, null);
      await store.commit(gone, at(2, 200));
      expect([...store.items()].map(({ order, state }) => [order, state])).toEqual([[1, 'failed']]);
      expect(store.item(2)).toBeUndefined();
      expect(store.payload(2)).toBeUndefined();
      expect([...store.pausedQueues()]).toEqual(['images']);
      expect(store.position()).toEqual(at(2, 200));
    });

    test('removing what was never stored is no fault', async () => {
      const gone = changes({});
      gone.items.set(9, null);
      gone.payloads.set(9, null);
      await store.commit(gone, at(1, 100));
      expect([...store.items()]).toEqual([]);
    });

    test('items come in the order of enqueueing, however they were stored', async () => {
      const orders = [300, 2, 70_000, 1, 5_000_000_000, 128];
      for (const order of orders) await store.commit(changes({ items: [madeItem({ order })] }), at(order, 1));
      expect([...store.items()].map(({ order }) => order)).toEqual([1, 2, 128, 300, 70_000, 5_000_000_000]);
    });

    test('a scan gives the items of one queue and state behind a place, in order', async () => {
      const items = [
        madeItem({ order: 1, queue: 'mail', state: 'pending' }),
        madeItem({ order: 2, queue: 'mail2', state: 'pending' }),
        madeItem({ order: 3, queue: 'mail', state: 'done' }),
        madeItem({ order: 4, queue: 'mail', state: 'pending' }),
        madeItem({ order: 5, queue: 'mail', state: 'pending' }),
      ];
      await store.commit(changes({ items }), at(1, 1));
      await store.commit(
        changes({ items: [madeItem({ order: 5, queue: 'mail', state: 'done' })] }),
        at(2, 1),
      );
      const scan = (state: Item['state'] | undefined, after: number) =>
        [...store.scan('mail', state, after)].map(({ order }) => order);
      expect(scan('pending', 0)).toEqual([1, 4]);
      expect(scan('pending', 1)).toEqual([4]);
      expect(scan('done', 0)).toEqual([3, 5]);
      expect(scan(undefined, 0)).toEqual([1, 3, 4, 5]);
      expect(scan(undefined, 3)).toEqual([4, 5]);
      expect(scan('failed', 0)).toEqual([]);
    });

    test('a removed item is found by no scan', async () => {
      await store.commit(changes({ items: [madeItem({ order: 1, state: 'done' })] }), at(1, 1));
      const gone = changes({});
      gone.items.set(1, null);
      await store.commit(gone, at(2, 1));
      expect([...store.scan('mail', 'done', 0)]).toEqual([]);
      expect([...store.scan('mail', undefined, 0)]).toEqual([]);
    });

    test('a key that is used anew in the commit that its window ends with stands for the newer item', async () => {
      const key = { queue: 'mail', key: 'a' };
      await store.commit(changes({ keys: [{ ...key, order: 1, until: 100 }] }), at(1, 50));
      await store.commit(changes({ keys: [{ ...key, order: 2, until: 300 }] }), at(2, 200));
      expect(store.dedup('mail', 'a')).toEqual({ order: 2, until: 300 });
      await store.commit(changes({}), at(3, 250));
      expect(store.dedup('mail', 'a')).toEqual({ order: 2, until: 300 });
    });

    test('a key stands for its item until its window is over, whatever is committed meanwhile', async () => {
      await store.commit(changes({ keys: [{ queue: 'mail', key: 'a', order: 1, until: 100 }] }), at(1, 0));
      await store.commit(changes({}), at(2, 99));
      expect(store.dedup('mail', 'a')).toEqual({ order: 1, until: 100 });
    });

    test('keys of two queues, and keys with any characters, do not meet', async () => {
      const keys = [
        'a',
        'a\u0000',
        '\u0000a',
        'ä',
        '😀',
        'a/b',
        ' ',
        'x'.repeat(256),
        '😀'.repeat(256),
        '\u0001\u001f',
      ];
      const entries = ['mail', 'mai', 'l'].flatMap((queue) => keys.map((key) => ({ queue, key })));
      await store.commit(
        changes({ keys: entries.map((entry, index) => ({ ...entry, order: index + 1, until: 1_000 })) }),
        at(1, 0),
      );
      store = await opened.reopen();
      const found = entries.map(({ queue, key }) => store.dedup(queue, key)?.order);
      expect(found).toEqual(entries.map((_, index) => index + 1));
    });

    test('any item comes back as it was', async () => {
      let sequence = 0;
      await fc.assert(
        fc.asyncProperty(anyItem, fc.uint8Array({ maxLength: 64 }), async (item, payload) => {
          sequence += 1;
          await store.commit(changes({ items: [item], payloads: [[item.order, payload]] }), at(sequence, 1));
          expect(plain(store.item(item.order))).toEqual(plain(item));
          expect([...(store.payload(item.order) ?? [])]).toEqual([...payload]);
        }),
        { numRuns: 60 },
      );
    });

    test('what was read stays as it was when other rows are read or written', async () => {
      const items = Array.from({ length: 50 }, (_, index) =>
        madeItem({ order: index + 1, state: 'done', result: bytes(`result ${index + 1}`) }),
      );
      await store.commit(
        changes({ items, payloads: items.map(({ order }) => [order, bytes(`${order}`)]) }),
        at(1, 1),
      );
      const first = store.item(1);
      const payload = store.payload(1);
      expect([...store.items()]).toHaveLength(50);
      for (const { order } of items) store.payload(order);
      await store.commit(changes({ items: [madeItem({ order: 1, result: bytes('another') })] }), at(2, 1));
      expect(text(first?.result)).toBe('result 1');
      expect(text(payload)).toBe('1');
    });
  });
}

interface Written {
  readonly items?: readonly Item[];
  readonly payloads?: readonly (readonly [number, Uint8Array])[];
  readonly keys?: readonly { queue: string; key: string; order: number; until: number }[];
  readonly paused?: readonly (readonly [string, boolean])[];
}

const changes = ({ items = [], payloads = [], keys = [], paused = [] }: Written): Changes => ({
  items: new Map(items.map((item) => [item.order, item])),
  payloads: new Map(payloads),
  dedup: new Map(keys.map((entry) => [`${entry.queue}\u0000${entry.key}`, entry])),
  paused: new Map(paused),
});

const at = (sequence: number, ms: number): StoredPosition => ({
  applied: { ...nothingApplied, sequence, at: ms },
  logIdentity: 'a log',
});

const bytes = (content: string): Uint8Array => Buffer.from(content);
const text = (content: Uint8Array | undefined) =>
  content === undefined ? undefined : Buffer.from(content).toString();

/** Bytes as numbers: a Buffer and a Uint8Array of the same bytes are the same here. */
const plain = (item: Item | undefined): unknown =>
  item === undefined
    ? undefined
    : { ...item, progress: numbers(item.progress), result: numbers(item.result) };

const numbers = (content: Uint8Array | undefined) => (content === undefined ? undefined : [...content]);
