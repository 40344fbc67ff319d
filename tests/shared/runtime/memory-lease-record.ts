import type { LeaseRecord, Owner } from '#shared/runtime/owner-lease.ts';

/** A record in memory that behaves as a KV bucket does. */
export class MemoryLeaseRecord implements LeaseRecord {
  #owner: Owner | undefined;
  #revision = 0;
  /** `lost`: nothing is written; `unheard`: written, but the writer does not hear of it. */
  fault: 'none' | 'lost' | 'unheard' = 'none';

  async read() {
    await Promise.resolve();
    if (this.fault === 'lost') throw new Error('no answer');
    return { owner: this.#owner, revision: this.#revision };
  }

  async write(owner: Owner, revision: number) {
    await Promise.resolve();
    if (this.fault === 'lost') throw new Error('no answer');
    if (revision !== this.#revision) return undefined;
    this.#owner = owner;
    this.#revision += 1;
    if (this.fault === 'unheard') throw new Error('no answer');
    return this.#revision;
  }

  async remove(revision: number) {
    await Promise.resolve();
    if (revision === this.#revision) this.#owner = undefined;
    this.#revision += 1;
  }
}
