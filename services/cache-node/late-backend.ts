import type { Applied, Backend, BackendPage, Batch, Claim, PageQuery, Taken } from './backend.ts';

/** A backend that is opened when it is taken, again and again until that succeeds. */
export class LateBackend implements Backend {
  readonly #open: () => Promise<Backend>;
  #opened: Backend | undefined;

  constructor(open: () => Promise<Backend>) {
    this.#open = open;
  }

  async take(claim: Claim): Promise<Taken> {
    this.#opened ??= await this.#open();
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
    await this.#opened?.close();
  }

  #backend(): Backend {
    if (this.#opened === undefined) throw new Error('the backend has not been opened yet');
    return this.#opened;
  }
}
