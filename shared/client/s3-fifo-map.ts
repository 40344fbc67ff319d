/** Part of the entries that may be in the small queue. */
const smallPart = 0.1;
/** Uses that are counted: an entry is spared so often. */
const usesMax = 3;

interface Held<Value> {
  value: Value;
  uses: number;
}

/**
 * A map of at most `entriesMax` entries, by S3-FIFO: what is new passes a small queue; what was used more than once
 * there goes on to the main one, the rest leaves, and its keys are remembered for a while: they go straight to the main
 * queue when they come back. So what is asked for once does not push out what is asked for often. What was deleted from
 * the main queue is remembered, too. Every operation is O(1), amortized; a hit moves nothing.
 * Source: Yang, Zhang, Qiu, Yue, Vigfusson, "FIFO queues are all you need for cache eviction", SOSP 2023.
 */
export class S3FifoMap<Value> {
  readonly #entriesMax: number;
  readonly #smallMax: number;
  #small = new Fifo<Held<Value>>();
  #main = new Fifo<Held<Value>>();
  /** Keys of entries that went. */
  #ghosts = new Fifo<true>();

  /** @param entriesMax an integer from 1 */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
    this.#smallMax = Math.floor(entriesMax * smallPart);
  }

  get size(): number {
    return this.#small.size + this.#main.size;
  }

  /** The value, which counts as a use of it. */
  get(key: string): Value | undefined {
    const held = this.#held(key);
    if (held === undefined) return undefined;
    if (held.uses < usesMax) held.uses += 1;
    return held.value;
  }

  /** The value, without a use. */
  peek(key: string): Value | undefined {
    return this.#held(key)?.value;
  }

  /** Adds an entry, for which another one may go, or replaces the value of one. */
  set(key: string, value: Value): void {
    const held = this.#held(key);
    if (held !== undefined) {
      held.value = value;
      return;
    }
    while (this.size >= this.#entriesMax) this.#evict();
    const queue = this.#ghosts.delete(key) ? this.#main : this.#small;
    queue.push(key, { value, uses: 0 });
  }

  /** True when there was an entry. */
  delete(key: string): boolean {
    if (this.#small.delete(key)) return true;
    if (!this.#main.delete(key)) return false;
    this.#remember(key);
    return true;
  }

  clear(): void {
    this.#small = new Fifo();
    this.#main = new Fifo();
    this.#ghosts = new Fifo();
  }

  /** Entries may be deleted meanwhile. */
  *entries(): IterableIterator<readonly [key: string, value: Value]> {
    for (const queue of [this.#small, this.#main])
      for (const [key, { value }] of queue.entries()) yield [key, value];
  }

  #held(key: string): Held<Value> | undefined {
    return this.#main.get(key) ?? this.#small.get(key);
  }

  /** One step: an entry goes, or the next one is looked at. Each is spared `usesMax` times at most. */
  #evict(): void {
    const isSmall = this.#small.size > this.#smallMax || this.#main.size === 0;
    const oldest = (isSmall ? this.#small : this.#main).shift();
    if (oldest === undefined) return;
    const [key, held] = oldest;
    if (isSmall && held.uses > 1) this.#main.push(key, { value: held.value, uses: 0 });
    else if (!isSmall && held.uses > 0) this.#main.push(key, { value: held.value, uses: held.uses - 1 });
    else if (isSmall) this.#remember(key);
  }

  #remember(key: string): void {
    this.#ghosts.push(key, true);
    if (this.#ghosts.size > this.#entriesMax) this.#ghosts.shift();
  }
}

/** A queue whose elements can also be found and taken out by their key: a map, in the order of insertion. */
class Fifo<Element> {
  readonly #elements = new Map<string, Element>();
  /**
   * Stands before the oldest element: whatever it has passed was taken out. Beginning anew each time would walk over
   * the places of all that were, which a map keeps until it grows.
   */
  #oldest = this.#elements.entries();

  get size(): number {
    return this.#elements.size;
  }

  get(key: string): Element | undefined {
    return this.#elements.get(key);
  }

  /** Adds behind all others what is not in it. */
  push(key: string, element: Element): void {
    this.#elements.set(key, element);
  }

  shift(): [string, Element] | undefined {
    let next = this.#oldest.next();
    if (next.done === true) {
      // It had come to the end: an iterator that has ended stays so.
      this.#oldest = this.#elements.entries();
      next = this.#oldest.next();
    }
    if (next.done === true) return undefined;
    this.#elements.delete(next.value[0]);
    return next.value;
  }

  delete(key: string): boolean {
    return this.#elements.delete(key);
  }

  entries(): IterableIterator<[string, Element]> {
    return this.#elements.entries();
  }
}
