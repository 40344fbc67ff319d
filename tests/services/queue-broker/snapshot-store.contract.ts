import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SnapshotStore } from '#services/queue-broker/snapshot-store.ts';

export interface OpenedSnapshots {
  /** One broker's way to the store; a second call is a second broker's. */
  connect(): SnapshotStore;
  dispose(): Promise<void>;
}

/** What every store of snapshots promises. */
export function snapshotStoreContract(name: string, open: () => Promise<OpenedSnapshots>): void {
  describe(name, () => {
    let opened: OpenedSnapshots;
    let one: SnapshotStore;
    let other: SnapshotStore;

    beforeEach(async () => {
      opened = await open();
      one = opened.connect();
      other = opened.connect();
    });

    afterEach(() => opened.dispose());

    test('a store to which nothing was ever written is empty, and nothing can be removed from it', async () => {
      expect(await one.list()).toEqual([]);
      expect(await one.get('a')).toBeUndefined();
      await one.remove(['a']);
      await one.tidy();
      expect(await one.list()).toEqual([]);
    });

    test('what one broker puts another one finds, byte by byte', async () => {
      const large = Uint8Array.from({ length: 1_500_001 }, (_, index) => index % 251);
      await one.put('log/1/part-1', large);
      await one.put('log/1/part-2', new Uint8Array([1]));
      await one.put('log with spaces: ü/*.>', new Uint8Array([2]));
      expect([...(await other.list())].toSorted()).toEqual([
        'log with spaces: ü/*.>',
        'log/1/part-1',
        'log/1/part-2',
      ]);
      expect(Buffer.compare((await other.get('log/1/part-1')) ?? new Uint8Array(), large)).toBe(0);
      expect([...((await other.get('log with spaces: ü/*.>')) ?? [])]).toEqual([2]);
    });

    test('a second put of a name replaces the first one', async () => {
      await one.put('a', new Uint8Array(300_000).fill(1));
      await other.put('a', new Uint8Array([2]));
      expect([...((await one.get('a')) ?? [])]).toEqual([2]);
      expect(await one.list()).toEqual(['a']);
    });

    test('what is removed is gone, and the rest stays', async () => {
      for (const name of ['a', 'b', 'c']) await one.put(name, Buffer.from(name));
      await other.remove(['a', 'c', 'never there']);
      await other.tidy();
      expect(await one.list()).toEqual(['b']);
      expect(await one.get('a')).toBeUndefined();
      expect(Buffer.from((await one.get('b')) ?? []).toString()).toBe('b');
    });
  });
}
