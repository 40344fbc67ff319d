import type { Applied } from './core/applied.ts';
import type { Item } from './core/item.ts';
import type { Changes, DedupEntry, RowReader } from './core/overlay.ts';

/** What is stored of a partition, and up to which record of which log. */
export interface StoredPosition {
  readonly applied: Applied;
  /** Identity of the log stream that `applied` counts in. */
  readonly logIdentity: string;
  /** What the record at `applied.sequence` is known by (`record-mark.ts`). Tables of older brokers do not have it. */
  readonly mark?: string;
  /** A snapshot is being loaded: the rows are not whole. */
  readonly loading?: true;
  /** Version of the table as a whole; none is 1. A broker refuses a table that is newer than itself. */
  readonly version?: number;
}

/**
 * The version of a table as a whole: which tables there are, and what their keys are. Rows have versions of their own.
 * Since version 2 many items may stand in one row (`item-blocks.ts`); a table without such rows is still of version 1.
 */
export const tableVersion = 2;

/** One row as it is stored: readable by every store of this version and later ones. */
export type StoredRow =
  /** As `item-codec.ts` writes it. */
  | { readonly kind: 'item'; readonly order: number; readonly bytes: Uint8Array }
  | { readonly kind: 'payload'; readonly order: number; readonly bytes: Uint8Array }
  | { readonly kind: 'key'; readonly queue: string; readonly key: string; readonly entry: DedupEntry }
  /** As `record-codec.ts` writes it. */
  | { readonly kind: 'record'; readonly key: string; readonly bytes: Uint8Array };

/** What was stored at one moment, whatever is committed afterwards. */
export interface StoreView {
  readonly position: StoredPosition | undefined;
  /**
   * Every row of that moment, each once, some hundreds at a time: whoever reads lets others run in between.
   * The bytes of a row are its reader's until it asks for more.
   */
  rows(): AsyncIterable<readonly StoredRow[]>;
  /** Must be called, also when the rows were not read to their end. */
  close(): void;
}

/**
 * The rows of one partition. The broker's are LMDB, the simulator's are memory. Reading is synchronous: decisions are,
 * and a row is a page in memory.
 */
export interface ItemStore extends RowReader {
  position(): StoredPosition | undefined;
  /** Every stored item, by `order`. */
  items(): Iterable<Item>;
  /** Every stored record, by its key; those that are read on demand (`queue-records.ts`) may be left out. */
  records(): Iterable<readonly [key: string, value: object]>;
  /** Stores changes and position in one transaction. Resolves once it is committed. */
  commit(changes: Changes, position: StoredPosition): Promise<void>;
  /** Removes every row. From then on the position is this one, and never none: a crash must not look like a beginning. */
  clear(position: StoredPosition): Promise<void>;
  /** Resolves once all that was committed before has reached the disk. */
  flushed(): Promise<void>;
  /** Opens a view of what is stored now. */
  view(): StoreView;
  close(): Promise<void>;
}
