/** A map as it was at one moment. */
export interface MapView<K, V> {
  /** In the order in which they were there. */
  readonly keys: readonly K[];
  /** What stood there at that moment. */
  get(key: K): V | undefined;
  close(): void;
}

/**
 * A map that can be viewed at a moment while it goes on changing. Opening a view copies the keys; what changes
 * afterwards is kept for the view as it was, until the view is closed.
 */
export class ViewedMap<K, V> {
  readonly #entries = new Map<K, V>();
  /** Of each open view: what its keys stood for before they changed. */
  readonly #views = new Set<Map<K, V | undefined>>();

  get size(): number {
    return this.#entries.size;
  }

  get(key: K): V | undefined {
    return this.#entries.get(key);
  }

  keys(): Iterable<K> {
    return this.#entries.keys();
  }

  /** Puts a value, or (null) removes it. */
  put(key: K, value: V | null): void {
    for (const before of this.#views) if (!before.has(key)) before.set(key, this.#entries.get(key));
    if (value === null) this.#entries.delete(key);
    else this.#entries.set(key, value);
  }

  clear(): void {
    for (const before of this.#views) {
      for (const [key, value] of this.#entries) if (!before.has(key)) before.set(key, value);
    }
    this.#entries.clear();
  }

  view(): MapView<K, V> {
    const before = new Map<K, V | undefined>();
    this.#views.add(before);
    return {
      keys: [...this.#entries.keys()],
      get: (key) => (before.has(key) ? before.get(key) : this.#entries.get(key)),
      close: () => this.#views.delete(before),
    };
  }
}
