/**
 * What a backend said just now of keys, also that it has none. Memory may evict what it takes in at once, and what is
 * not there it cannot hold at all; so this is kept for as long as anybody waits who asked for the key, whatever else he
 * waits for. Whoever changes a key forgets it here.
 */
export class FetchedRows {
  readonly #rows = new Map<string, Buffer | undefined>();
  /** How many wait for each key. */
  readonly #waiting = new Map<string, number>();

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  get(key: string): Buffer | undefined {
    return this.#rows.get(key);
  }

  /** Of no use where nobody waits for it. */
  put(key: string, row: Buffer | undefined): void {
    if (this.#waiting.has(key)) this.#rows.set(key, row);
  }

  forget(key: string): void {
    this.#rows.delete(key);
  }

  clear(): void {
    this.#rows.clear();
  }

  /** What is said of these keys is kept until the returned function is called. */
  hold(keys: readonly string[]): () => void {
    for (const key of keys) this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    return () => {
      for (const key of keys) this.#release(key);
    };
  }

  #release(key: string): void {
    const waiting = (this.#waiting.get(key) ?? 0) - 1;
    if (waiting > 0) {
      this.#waiting.set(key, waiting);
      return;
    }
    this.#waiting.delete(key);
    this.#rows.delete(key);
  }
}
