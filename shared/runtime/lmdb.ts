import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, type RootDatabase, type Transaction, open } from 'lmdb';
import { systemClock, within } from './clock.ts';
import { openOwnedFolder } from './owned-folder.ts';

// The only door to LMDB. Keys are numbers, strings or arrays of them in lmdb-js's ordered encoding, or bytes; values are
// bytes, so that the codec of each table is our own and can carry a version.

export type Table<K extends TableKey = TableKey> = Database<Buffer, K>;
export type TableKey = number | string | (number | string)[] | Buffer;

/** Holds what was committed when it was opened. Pages that change meanwhile are not used again: it must be closed. */
export interface ReadTransaction {
  /** Handed to `getRange` and `get` as their option `transaction`. */
  readonly transaction: Transaction;
  close(): void;
}

export interface Environment {
  /** Opens (or makes) one named table. */
  table<K extends TableKey>(name: string): Table<K>;
  /** One whose keys are bytes as they are, at most 1,900 of them, in their own order. */
  bytesTable(name: string): Table<Buffer>;
  /**
   * One atomic transaction: all of what `gather` notes reaches the disk, or nothing, should it throw. What it reads is
   * what was committed before. Resolves once it is committed, with what `gather` returned.
   */
  transaction<Value>(gather: (writes: Writes) => Value): Promise<Value>;
  readTransaction(): ReadTransaction;
  /** Resolves once all that was committed has reached the disk. */
  flushed(): Promise<void>;
  close(): Promise<void>;
}

export interface EnvironmentOptions {
  readonly path: string;
  /** Most bytes that the file may reach. Address space, not memory. */
  readonly bytesMax?: number;
}

/** What a transaction is to do, gathered before it begins: the library would commit what was put before a throw. */
export class Writes {
  readonly #writes: (readonly [Table<TableKey>, TableKey, Buffer | null] | Pick<Table, 'clearAsync'>)[] = [];

  put<K extends TableKey>(table: Table<K>, key: K, value: Buffer): void {
    this.#writes.push([table, key, value]);
  }

  remove<K extends TableKey>(table: Table<K>, key: K): void {
    this.#writes.push([table, key, null]);
  }

  /** Removes all of a table. */
  clear(table: Pick<Table, 'clearAsync'>): void {
    this.#writes.push(table);
  }

  /** Writes it all, in its order. */
  write(): void {
    for (const one of this.#writes) {
      if ('clearAsync' in one) void one.clearAsync();
      else if (one[2] === null) void one[0].remove(one[1]);
      else void one[0].put(one[1], one[2]);
    }
  }
}

/** The file is none of LMDB's, or no longer. */
export class DamagedFileError extends Error {
  constructor(file: string, fault: string, options?: ErrorOptions) {
    super(`${file} is damaged: ${fault}`, options);
    this.name = 'DamagedFileError';
  }
}

/**
 * Opens the environment in `path`, making the folder. Throws when it cannot be opened or is damaged.
 * @throws StartRefused (2) when this process may not write there
 */
export function openEnvironment(options: EnvironmentOptions): Environment {
  openOwnedFolder(options.path, ['data.mdb', 'lock.mdb']);
  const file = join(options.path, 'data.mdb');
  refuseDamaged(file);
  const opened = <Opened>(openOne: () => Opened): Opened => {
    try {
      return openOne();
    } catch (error) {
      throw isDamage(error) ? new DamagedFileError(file, error.message, { cause: error }) : error;
    }
  };
  const root: RootDatabase<Buffer, TableKey> = opened(() =>
    open<Buffer, TableKey>({
      path: options.path,
      mapSize: options.bytesMax ?? 64 * 1024 ** 3,
      encoding: 'binary',
      maxDbs: 32,
    }),
  );
  return {
    table: <K extends TableKey>(name: string) =>
      opened(() => root.openDB<Buffer, K>({ name, encoding: 'binary' })),
    bytesTable: (name) =>
      opened(() => root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' })),
    transaction: async (gather) => {
      const writes = new Writes();
      const value = gather(writes);
      await root.batch(() => writes.write()).catch((error: unknown) => whyNotCommitted(options.path, error));
      return value;
    },
    readTransaction: () => {
      const transaction = root.useReadTransaction();
      return { transaction, close: () => transaction.done() };
    },
    flushed: async () => {
      await root.flushed;
    },
    close: () => root.close(),
  };
}

/**
 * The library says no more than "see commitError", and prints what the system said (a full disk, mostly) beside the
 * log. It gives that reason as the rejection of a promise, a moment later or never.
 */
async function whyNotCommitted(path: string, error: unknown): Promise<never> {
  if (!(error instanceof Error && 'commitError' in error)) throw error;
  const reason = await within(systemClock, reasonMsMax, settled(error.commitError), undefined);
  if (reason === undefined) throw error;
  throw new Error(`${path} could not be written: ${reason}`, { cause: error });
}

const reasonMsMax = 1_000;

const settled = (reason: unknown): Promise<string | undefined> =>
  Promise.resolve(reason).then(
    () => undefined,
    (error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      // LMDB makes this of a write that ended before its last byte.
      return text === 'Input/output error' ? `${text}, mostly a full disk` : text;
    },
  );

/** In the first page of each file of LMDB, in the order of this machine's bytes. */
const magic = Buffer.from(new Uint32Array([0xbe_ef_c0_de]).buffer);

/** What LMDB says of pages that are none, where it notices (`MDB_CORRUPTED: Located page was wrong type`). */
const isDamage = (error: unknown): error is Error =>
  error instanceof Error && /^MDB_(?:CORRUPTED|PAGE_NOTFOUND|INVALID)\b/.test(error.message);

/**
 * Mostly the library does not say that a file is damaged, it ends the process. So its first bytes are looked at before.
 */
function refuseDamaged(file: string): void {
  if (!existsSync(file)) return;
  const head = Buffer.alloc(64);
  const descriptor = openSync(file, 'r');
  const length = readSync(descriptor, head);
  closeSync(descriptor);
  if (length > 0 && !head.includes(magic))
    throw new DamagedFileError(file, 'it does not begin as a file of LMDB does');
}
