/** Part of the entries that may be in the small queue. */
const smallPart = 0.1;
/** Uses that are counted: an entry is spared so often. */
const usesMax = 3;

/** An entry, or the memory of one that went: in a ring, whose head is no entry. */
interface Node<Value> {
  readonly key: string;
  value: Value | undefined;
  uses: number;
  queue: Ring<Value> | undefined;
  older: Node<Value>;
  newer: Node<Value>;
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
  /** Those that are remembered are in it, too, so that one look tells all that is known of a key. */
  readonly #nodes = new Map<string, Node<Value>>();
  #small = new Ring<Value>();
  #main = new Ring<Value>();
  /** Of keys whose entries went. */
  #ghosts = new Ring<Value>();

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
    const node = this.#nodes.get(key);
    if (node === undefined || node.queue === this.#ghosts) return undefined;
    if (node.uses < usesMax) node.uses += 1;
    return node.value;
  }

  /** The value, without a use. */
  peek(key: string): Value | undefined {
    return this.#nodes.get(key)?.value;
  }

  /** Adds an entry, for which another one may go, or replaces the value of one. */
  set(key: string, value: Value): void {
    const known = this.#nodes.get(key);
    if (known !== undefined && known.queue !== this.#ghosts) {
      known.value = value;
      return;
    }
    while (this.size >= this.#entriesMax) this.#evict();
    // The eviction may have forgotten it.
    const ghost = known?.queue === undefined ? undefined : known;
    ghost?.queue?.remove(ghost);
    const node = ghost ?? newNode<Value>(key);
    node.value = value;
    if (ghost === undefined) this.#nodes.set(key, node);
    (ghost === undefined ? this.#small : this.#main).push(node);
  }

  /** True when there was an entry. */
  delete(key: string): boolean {
    const node = this.#nodes.get(key);
    if (node === undefined || node.queue === this.#ghosts) return false;
    const wasInMain = node.queue === this.#main;
    node.queue?.remove(node);
    if (wasInMain) this.#remember(node);
    else this.#nodes.delete(key);
    return true;
  }

  clear(): void {
    this.#nodes.clear();
    this.#small = new Ring();
    this.#main = new Ring();
    this.#ghosts = new Ring();
  }

  /** Entries may be deleted meanwhile. */
  *entries(): IterableIterator<readonly [key: string, value: Value]> {
    for (const [key, { queue, value }] of this.#nodes)
      if (queue !== this.#ghosts) yield [key, value as Value];
  }

  /** One step: an entry goes, or the next one is looked at. Each is spared `usesMax` times at most. */
  #evict(): void {
    const isSmall = this.#small.size > this.#smallMax || this.#main.size === 0;
    const node = (isSmall ? this.#small : this.#main).shift();
    if (node === undefined) return;
    if (isSmall && node.uses > 1) {
      node.uses = 0;
      this.#main.push(node);
    } else if (!isSmall && node.uses > 0) {
      node.uses -= 1;
      this.#main.push(node);
    } else if (isSmall) this.#remember(node);
    else this.#nodes.delete(node.key);
  }

  #remember(node: Node<Value>): void {
    node.value = undefined;
    node.uses = 0;
    this.#ghosts.push(node);
    if (this.#ghosts.size <= this.#entriesMax) return;
    const forgotten = this.#ghosts.shift();
    if (forgotten !== undefined) this.#nodes.delete(forgotten.key);
  }
}

/** A queue from which anything can be taken out. */
class Ring<Value> {
  readonly #head = newNode<Value>('');
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(node: Node<Value>): void {
    const head = this.#head;
    node.older = head.older;
    node.newer = head;
    head.older.newer = node;
    head.older = node;
    node.queue = this;
    this.#size += 1;
  }

  shift(): Node<Value> | undefined {
    if (this.#size === 0) return undefined;
    const oldest = this.#head.newer;
    this.remove(oldest);
    return oldest;
  }

  remove(node: Node<Value>): void {
    node.older.newer = node.newer;
    node.newer.older = node.older;
    node.queue = undefined;
    this.#size -= 1;
  }
}

function newNode<Value>(key: string): Node<Value> {
  const node = { key, value: undefined, uses: 0, queue: undefined } as unknown as Node<Value>;
  node.older = node;
  node.newer = node;
  return node;
}
