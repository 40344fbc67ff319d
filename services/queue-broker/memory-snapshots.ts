import type { SnapshotStore } from './snapshot-store.ts';

/** Snapshots in memory: for the simulator and for queues that are never stored. */
export class MemorySnapshots implements SnapshotStore {
  readonly #objects = new Map<string, Uint8Array>();

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.#objects.keys()]);
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    this.#objects.set(name, bytes.slice());
    return Promise.resolve();
  }

  get(name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#objects.get(name)?.slice());
  }

  remove(names: readonly string[]): Promise<void> {
    for (const name of names) this.#objects.delete(name);
    return Promise.resolve();
  }

  tidy(): Promise<void> {
    return Promise.resolve();
  }
}
