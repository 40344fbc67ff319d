import type { Applied } from './core/applied.ts';
import type { Item } from './core/item.ts';
import type { Changes, RowReader } from './core/overlay.ts';

/** What is stored of a partition, and up to which record of which log. */
export interface StoredPosition {
  readonly applied: Applied;
  /** Identity of the log stream that `applied` counts in. */
  readonly logIdentity: string;
}

/**
 * The rows of one partition. The broker's are LMDB, the simulator's are memory. Reading is synchronous: decisions are,
 * and a row is a page in memory.
 */
export interface ItemStore extends RowReader {
  position(): StoredPosition | undefined;
  /** Every stored item, by `order`. */
  items(): Iterable<Item>;
  /** Every stored record, by its key. */
  records(): Iterable<readonly [key: string, value: object]>;
  /** Stores changes and position in one transaction. Resolves once it is committed. */
  commit(changes: Changes, position: StoredPosition): Promise<void>;
  close(): Promise<void>;
}
