import type { EvictionPolicy } from './eviction-policy.ts';
import { GhostSet } from './ghost-set.ts';
import { byteColumn, intColumn } from './slot-column.ts';
import { SlotList } from './slot-list.ts';

/** Part of the weight that the small queue may have before things go from it. */
const smallPart = 0.1;
const usesMax = 3;
/** Slots that one search for a victim passes at most: where all were used, it would else pass all, some times over. */
const passesMax = 128;
/** A slot's byte: how often it was used, and whether it stands in the main queue. */
const usesMask = 0x03;
const inMain = 0x04;

/**
 * S3-FIFO: new entries pass a small queue; those used more than once there go on to the main queue, the others leave and
 * are remembered as ghosts, which go straight to the main queue when they come back. Cheap on a hit (a counter), and
 * what is asked for once does not push out what is asked for often.
 * Source: Yang, Zhang, Qiu, Yue, Vigfusson, "FIFO queues are all you need for cache eviction", SOSP 2023.
 */
export class S3FifoPolicy implements EvictionPolicy {
  readonly #links = { older: intColumn(), newer: intColumn() };
  readonly #small = new SlotList(this.#links);
  readonly #main = new SlotList(this.#links);
  readonly #ghosts = new GhostSet();
  readonly #states = byteColumn();
  readonly #weights = intColumn();
  #smallWeight = 0;
  #mainWeight = 0;
  #mainSlots = 0;
  #smallSlots = 0;

  add(slot: number, hash: number, weight: number): void {
    this.#weights.set(slot, weight);
    this.#enter(slot, this.#ghosts.take(hash, this.#ghostsMax()));
  }

  use(slot: number): void {
    const state = this.#states.get(slot);
    if ((state & usesMask) < usesMax) this.#states.set(slot, state + 1);
  }

  reweigh(slot: number, weight: number): void {
    const change = weight - this.#weights.get(slot);
    this.#weights.set(slot, weight);
    if (this.#isInMain(slot)) this.#mainWeight += change;
    else this.#smallWeight += change;
  }

  remove(slot: number): void {
    const weight = this.#weights.get(slot);
    if (this.#isInMain(slot)) {
      this.#main.remove(slot);
      this.#mainWeight -= weight;
      this.#mainSlots -= 1;
    } else {
      this.#small.remove(slot);
      this.#smallWeight -= weight;
      this.#smallSlots -= 1;
    }
  }

  victim(): number | undefined {
    for (let passed = 0; ; passed += 1) {
      const isSmallDue =
        this.#smallSlots > 0 &&
        (this.#mainSlots === 0 || this.#smallWeight >= smallPart * (this.#smallWeight + this.#mainWeight));
      const slot = isSmallDue ? this.#small.oldest() : this.#main.oldest();
      if (slot === undefined) return undefined;
      const uses = this.#states.get(slot) & usesMask;
      if (isSmallDue ? uses <= 1 : uses === 0) return slot;
      if (passed === passesMax) {
        // So that it is the victim also when it is asked for again.
        this.#states.set(slot, isSmallDue ? 0 : inMain);
        return slot;
      }
      this.remove(slot);
      this.#enter(slot, true);
      // In the main queue each round takes one use away, so the search ends.
      if (!isSmallDue) this.#states.set(slot, inMain | (uses - 1));
    }
  }

  evict(slot: number, hash: number): void {
    if (!this.#isInMain(slot)) this.#ghosts.add(hash, this.#ghostsMax());
    this.remove(slot);
  }

  *slots(): Iterable<number> {
    yield* this.#small.slots();
    yield* this.#main.slots();
  }

  get bytes(): number {
    const columns = [this.#links.older, this.#links.newer, this.#states, this.#weights];
    return columns.reduce((sum, column) => sum + column.bytes, this.#ghosts.bytes);
  }

  #enter(slot: number, main: boolean): void {
    const weight = this.#weights.get(slot);
    this.#states.set(slot, main ? inMain : 0);
    if (main) {
      this.#main.add(slot);
      this.#mainWeight += weight;
      this.#mainSlots += 1;
    } else {
      this.#small.add(slot);
      this.#smallWeight += weight;
      this.#smallSlots += 1;
    }
  }

  /** As many ghosts as the main queue has entries when all is full. */
  #ghostsMax(): number {
    return Math.max(16, this.#mainSlots + this.#smallSlots);
  }

  #isInMain(slot: number): boolean {
    return (this.#states.get(slot) & inMain) !== 0;
  }
}
