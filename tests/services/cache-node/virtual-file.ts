import type {
  Applied,
  Backend,
  BackendPage,
  Batch,
  Claim,
  PageQuery,
  Taken,
} from '#services/cache-node/backend.ts';
import { keyCursor, readKeyCursor } from '#services/cache-node/key-cursor.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import type { ProcessClock } from '#tests/support/virtual-clock.ts';

/** The file of one namespace of one process name: it outlives the process. */
export class VirtualFile {
  readonly rows = new Map<string, Buffer>();
  readonly tags = new Map<string, number>();
  stamp = 0;
  voidUpTo = 0;
  weather: 'fine' | 'slow' | 'failing' = 'fine';
  /** One transaction at a time, whoever has the file open. */
  freeAtMs = 0;

  clear(): void {
    this.rows.clear();
    this.tags.clear();
  }
}

export interface VirtualFileBackendOptions {
  readonly file: VirtualFile;
  /** A stopped process does nothing with its disk, and what a dead one had not committed is not there. */
  readonly process: ProcessClock;
  readonly random: SeededRandom;
}

/** What `FileBackend` does, without quotas and ends. */
export class VirtualFileBackend implements Backend {
  readonly #options: VirtualFileBackendOptions;
  #applying: Promise<unknown> = Promise.resolve();
  /** As it was when this process opened it, and as it changed it since. */
  #state: { readonly stamp: number; readonly voidUpTo: number };
  #isClosed = false;

  constructor(options: VirtualFileBackendOptions) {
    this.#options = options;
    if (options.file.weather === 'failing') throw new Error('the file cannot be opened');
    const { stamp, voidUpTo } = options.file;
    this.#state = { stamp, voidUpTo };
  }

  async take({ since }: Claim): Promise<Taken> {
    const { file } = this.#options;
    if (since > this.#state.voidUpTo) {
      const state = { stamp: Math.max(since, this.#state.stamp), voidUpTo: since };
      await this.#commit(() => {
        file.clear();
        Object.assign(file, state);
      });
      this.#state = state;
    }
    return { stamp: this.#state.stamp, tags: new Map(file.tags), lost: false, figures: undefined };
  }

  async fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    if (this.#isClosed) throw new Error('the file is closed');
    await this.#prefetch();
    return keys.map((key) => this.#options.file.rows.get(key));
  }

  apply(batch: Batch): Promise<Applied> {
    const applied = this.#applying.then(() => this.#apply(batch));
    this.#applying = applied.catch(() => undefined);
    return applied;
  }

  page({ cursor, keysMax }: PageQuery): Promise<BackendPage | undefined> {
    const { file } = this.#options;
    if (file.weather === 'failing') return Promise.reject(new Error('the disk fails'));
    const start = cursor === undefined ? '' : (readKeyCursor(cursor)?.toString() ?? '');
    const keys = [...file.rows.keys()].filter((key) => key >= start).sort();
    // Short ones, so that there are changes between them.
    const next = keys[Math.min(keysMax, 5)];
    if (next === undefined) return Promise.resolve({ keys });
    return Promise.resolve({ keys: keys.slice(0, 5), cursor: keyCursor(Buffer.from(next)) });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#applying;
  }

  async #apply(batch: Batch): Promise<Applied> {
    const { file } = this.#options;
    if (this.#isClosed) throw new Error('the file is closed');
    await this.#prefetch();
    await this.#commit(() => {
      if (batch.clears) file.clear();
      for (const [tag, version] of batch.tags ?? [])
        file.tags.set(tag, Math.max(version, file.tags.get(tag) ?? 0));
      for (const [key, row] of batch.rows) {
        file.rows.delete(key);
        if (row !== null) file.rows.set(key, row.bytes);
      }
      Object.assign(file, { voidUpTo: this.#state.voidUpTo, stamp: batch.stamp });
    });
    this.#state = { ...this.#state, stamp: batch.stamp };
    return { evicted: [], figures: undefined };
  }

  async #prefetch(): Promise<void> {
    await this.#wait(this.#delayMs());
    if (this.#options.file.weather === 'failing') throw new Error('the disk fails');
  }

  /** A transaction: all of it or nothing, one after the other. Its word may come later than it counts. */
  async #commit(act: () => void): Promise<void> {
    const { file, process, random } = this.#options;
    const nowMs = process.monotonicMs();
    file.freeAtMs = Math.max(nowMs, file.freeAtMs) + this.#delayMs();
    await this.#wait(file.freeAtMs - nowMs);
    if (file.weather === 'failing') throw new Error('the disk fails');
    act();
    await this.#wait(random.integer(0, 2));
  }

  #delayMs(): number {
    const { file, random } = this.#options;
    return file.weather === 'slow' ? random.integer(20, 400) : random.integer(0, 8);
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.process.after(ms, resolve);
    });
  }
}
