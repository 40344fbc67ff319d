import type { Changes } from '#services/queue-broker/core/overlay.ts';
import type { ItemStore, StoredPosition } from '#services/queue-broker/item-store.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';

/** How the next commit goes: its time before and after the rows are there, and whether the disk refuses it. */
export interface CommitFate {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly fails: boolean;
}

/** The disk refused a commit, because the simulation wanted it to. */
export class DiskError extends Error {
  constructor() {
    super('the disk refuses the commit');
    this.name = 'DiskError';
  }
}

/**
 * Rows on a disk that outlives the process, seen by one process. A process that dies while it commits leaves all of
 * the commit there, or nothing, by the moment of its death.
 */
export function openDisk(options: {
  readonly rows: MemoryStore;
  readonly process: Clock;
  readonly fate: () => CommitFate;
}): ItemStore {
  const { rows, process, fate } = options;
  return {
    position: () => rows.position(),
    item: (order) => rows.item(order),
    payload: (order) => rows.payload(order),
    dedup: (queue, key) => rows.dedup(queue, key),
    items: () => rows.items(),
    record: (key) => rows.record(key),
    records: () => rows.records(),
    commit: async (changes: Changes, position: StoredPosition) => {
      const { beforeMs, afterMs, fails } = fate();
      await sleep(process, beforeMs);
      if (fails) throw new DiskError();
      await rows.commit(changes, position);
      await sleep(process, afterMs);
    },
    clear: async (position) => {
      const { beforeMs, afterMs, fails } = fate();
      await sleep(process, beforeMs);
      if (fails) throw new DiskError();
      await rows.clear(position);
      await sleep(process, afterMs);
    },
    flushed: () => sleep(process, fate().afterMs),
    view: () => rows.view(),
    close: () => Promise.resolve(),
  };
}
