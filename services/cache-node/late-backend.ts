import type { Applied, Backend, BackendPage, Batch, Claim, PageQuery, Taken } from './backend.ts';

/** A backend that is opened when it is taken, again and again until that succeeds. */
export class LateBackend implements Backend {
  readonly #open: () => Promise<Backend>;
  #opened: Backend | undefined;
  #opening: Promise<Backend> | undefined;
  #isClosed = false;

  constructor(open: () => Promise<Backend>) {
    this.#open = open;
  }

  async take(claim: Claim): Promise<Taken> {
    if (this.#opened === undefined && !this.#isClosed) {
      this.#opening ??= this.#open().finally(() => {
        this.#opening = undefined;
      });
      this.#opened = await this.#opening;
    }
    // Perhaps before it was opened: what it would write is of an earlier time.
    if (this.#opened === undefined || this.#isClosed) {
      await this.#opened?.close();
      throw new Error('the backend is closed');
    }
    return this.#opened.take(claim);
  }

  async fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    return this.#backend().fetch(keys);
  }

  async apply(batch: Batch): Promise<Applied> {
    return this.#backend().apply(batch);
  }

  async page(query: PageQuery): Promise<BackendPage | undefined> {
    return this.#backend().page(query);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opened?.close();
  }

  #backend(): Backend {
    if (this.#opened === undefined) throw new Error('the backend has not been opened yet');
    return this.#opened;
  }
}
