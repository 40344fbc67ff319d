import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { nothingApplied } from '#services/queue-broker/core/applied.ts';
import type { Item } from '#services/queue-broker/core/item.ts';
import type { Changes } from '#services/queue-broker/core/overlay.ts';
import { decodeItem } from '#services/queue-broker/item-codec.ts';
import type { ItemStore, StoredPosition, StoredRow } from '#services/queue-broker/item-store.ts';
import { unpackRecord } from '#shared/runtime/record-codec.ts';
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
      expect([...store.records()]).toEqual([]);
      expect(store.item(1)).toBeUndefined();
      expect(store.payload(1)).toBeUndefined();
      expect(store.dedup('mail', 'a')).toBeUndefined();
    });

    test('what was committed is there after a restart: items, payloads, keys, records and the position', async () => {
      await store.commit(
        changes({
          items: [madeItem({ order: 1 }), madeItem({ order: 2, state: 'done', result: bytes('result') })],
          payloads: [
            [1, bytes('one')],
            [2, bytes('')],
          ],
          keys: [{ queue: 'mail', key: 'a', order: 1, until: 500 }],
          records: [['queue/mail', { paused: true }]],
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
      expect([...store.records()]).toEqual([['queue/mail', { paused: true }]]);
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
          records: [
            ['queue/mail', { paused: true }],
            ['queue/images', { paused: true }],
          ],
        }),
        at(1, 100),
      );
      const gone = changes({
        items: [madeItem({ order: 1, state: 'failed' })],
        records: [['queue/mail', null]],
      });
      gone.items.set(2, null);
      gone.payloads.set(2, null);
      await store.commit(gone, at(2, 200));
      expect([...store.items()].map(({ order, state }) => [order, state])).toEqual([[1, 'failed']]);
      expect(store.item(2)).toBeUndefined();
      expect(store.payload(2)).toBeUndefined();
      expect([...store.records()].map(([key]) => key)).toEqual(['queue/images']);
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

    test('a record is read alone and with all others, in the order of their keys', async () => {
      await store.commit(
        changes({
          records: [
            ['b/2', { two: 2 }],
            ['a', { one: [1] }],
            ['b/10', {}],
          ],
        }),
        at(1, 1),
      );
      expect(store.record('a')).toEqual({ one: [1] });
      expect(store.record('b')).toBeUndefined();
      expect([...store.records()].map(([key]) => key)).toEqual(['a', 'b/10', 'b/2']);
    });

    test('a key that is taken back stands for nothing', async () => {
      await store.commit(changes({ keys: [{ queue: 'mail', key: 'a', order: 1, until: 500 }] }), at(1, 1));
      const gone = changes({});
      gone.dedup.set('mail\u0000a', { queue: 'mail', key: 'a', entry: null });
      await store.commit(gone, at(2, 1));
      expect(store.dedup('mail', 'a')).toBeUndefined();
      store = await opened.reopen();
      expect(store.dedup('mail', 'a')).toBeUndefined();
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

    test('a view holds every row of its moment once, whatever is committed while it is read', async () => {
      const items = Array.from({ length: 700 }, (_, index) => madeItem({ order: index + 1 }));
      const written = {
        items,
        payloads: [[1, bytes('one')]] as const,
        keys: [{ queue: 'mail', key: 'a', order: 1, until: 500 }],
        records: [['queue/mail', { paused: true }]] as const,
      };
      await store.commit(changes(written), at(7, 100));
      const view = store.view();
      const gone = changes({
        items: [madeItem({ order: 701 })],
        payloads: [[1, bytes('another')]],
        records: [['queue/mail', null]],
      });
      for (const { order } of items.slice(300)) gone.items.set(order, null);
      gone.dedup.set('mail\u0000a', { queue: 'mail', key: 'a', entry: null });
      const rows: StoredRow[] = [];
      for await (const chunk of view.rows()) {
        for (const row of chunk) rows.push('bytes' in row ? { ...row, bytes: row.bytes.slice() } : row);
        if (rows.length < 600) await store.commit(gone, at(8, 200));
      }
      expect(view.position).toEqual(at(7, 100));
      view.close();
      view.close();
      const named = (kind: StoredRow['kind']) => rows.filter((row) => row.kind === kind);
      const orders = named('item').map((row) => (row.kind === 'item' ? decodeItem(row.bytes).order : 0));
      expect(orders.toSorted((a, b) => a - b)).toEqual(items.map(({ order }) => order));
      expect(named('payload').map((row) => text('bytes' in row ? row.bytes : undefined))).toEqual(['one']);
      expect(named('key')).toEqual([
        { kind: 'key', queue: 'mail', key: 'a', entry: { order: 1, until: 500 } },
      ]);
      expect(named('record').map((row) => 'bytes' in row && unpackRecord(row.bytes))).toEqual([
        { paused: true },
      ]);
      expect([...store.items()].map(({ order }) => order)).toHaveLength(301);
    });

    test('a cleared store has its position and no rows, also after a restart', async () => {
      await store.commit(
        changes({
          items: [madeItem({ order: 1 })],
          payloads: [[1, bytes('one')]],
          keys: [{ queue: 'mail', key: 'a', order: 1, until: 500 }],
          records: [['queue/mail', { paused: true }]],
        }),
        at(7, 100),
      );
      await store.clear({ ...at(3, 0), loading: true });
      for (const opening of ['at once', 'after a restart']) {
        expect(store.position(), opening).toEqual({ ...at(3, 0), loading: true });
        expect([...store.items()], opening).toEqual([]);
        expect([...store.records()], opening).toEqual([]);
        expect(store.item(1), opening).toBeUndefined();
        expect(store.payload(1), opening).toBeUndefined();
        expect(store.dedup('mail', 'a'), opening).toBeUndefined();
        await store.flushed();
        store = await opened.reopen();
      }
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
  readonly records?: readonly (readonly [string, object | null])[];
}

const changes = ({ items = [], payloads = [], keys = [], records = [] }: Written): Changes => ({
  items: new Map(items.map((item) => [item.order, item])),
  payloads: new Map(payloads),
  dedup: new Map(keys.map(({ queue, key, ...entry }) => [`${queue}\u0000${key}`, { queue, key, entry }])),
  records: new Map(records),
  edited: new Set(),
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
    : {
        ...item,
        progress: numbers(item.progress),
        result: numbers(item.result),
        inline: numbers(item.inline),
      };

const numbers = (content: Uint8Array | undefined) => (content === undefined ? undefined : [...content]);
