import type { EvictionPolicy } from './eviction-policy.ts';
import { FrequencySketch } from './frequency-sketch.ts';
import { byteColumn, intColumn } from './slot-column.ts';
import { SlotList } from './slot-list.ts';
import { WindowClimber } from './window-climber.ts';

const windowRegion = 0;
const probation = 1;
const protectedRegion = 2;

/** Part of the main area that what was used there again may fill. */
const protectedPart = 0.8;
/** Slots that one call moves from the window at most, where the window was let grow: the rest follows with later calls. */
const movesMax = 8;

interface Region {
  readonly list: SlotList;
  weight: number;
}

/**
 * W-TinyLFU: new entries pass a small window; what leaves it must have been asked for more often than what would have to
 * go from the main area for it. The window's part of the whole is found by trying.
 * Source: Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM ToS, 2017; the window
 * that adapts: Einziger, Eytan, Friedman, Manes, "Adaptive Software Cache Management", Middleware 2018.
 */
export class TinyLfuPolicy implements EvictionPolicy {
  readonly #links = { older: intColumn(), newer: intColumn() };
  readonly #regions: readonly [Region, Region, Region] = [
    { list: new SlotList(this.#links), weight: 0 },
    { list: new SlotList(this.#links), weight: 0 },
    { list: new SlotList(this.#links), weight: 0 },
  ];
  readonly #sketch = new FrequencySketch();
  readonly #climber = new WindowClimber();
  readonly #regionOf = byteColumn();
  readonly #weights = intColumn();
  readonly #hashes = intColumn();
  #slots = 0;

  add(slot: number, hash: number, weight: number): void {
    this.#slots += 1;
    this.#sketch.ensure(this.#slots);
    this.#sketch.add(hash);
    this.#climber.missed(this.#slots);
    this.#hashes.set(slot, hash);
    this.#weights.set(slot, weight);
    this.#enter(slot, windowRegion);
    // Nothing is contested while there is room for all; the margin leaves the contests to `victim`.
    for (let moves = 0; moves < 2 && this.#windowWeight() > 1.5 * this.#windowShare(); moves += 1)
      if (!this.#moveOldest(windowRegion, probation)) return;
  }

  use(slot: number, hash: number): void {
    this.#sketch.add(hash);
    this.#climber.hit(this.#slots);
    const region = this.#regionOf.get(slot);
    if (region !== probation) {
      this.#region(region).list.renew(slot);
      return;
    }
    this.#leave(slot);
    this.#enter(slot, protectedRegion);
    const share = protectedPart * (this.#total() - this.#windowWeight());
    for (let moves = 0; moves < movesMax && this.#region(protectedRegion).weight > share; moves += 1)
      if (!this.#moveOldest(protectedRegion, probation)) return;
  }

  reweigh(slot: number, weight: number): void {
    this.#region(this.#regionOf.get(slot)).weight += weight - this.#weights.get(slot);
    this.#weights.set(slot, weight);
  }

  remove(slot: number): void {
    this.#leave(slot);
    this.#slots -= 1;
  }

  victim(): number | undefined {
    const candidate = this.#region(windowRegion).list.oldest();
    const resident = this.#region(probation).list.oldest() ?? this.#region(protectedRegion).list.oldest();
    if (candidate === undefined || resident === undefined) return candidate ?? resident;
    if (this.#windowWeight() <= this.#windowShare()) return resident;
    if (this.#count(candidate) <= this.#count(resident)) return candidate;
    this.#leave(candidate);
    this.#enter(candidate, probation);
    return resident;
  }

  evict(slot: number): void {
    this.remove(slot);
  }

  *slots(): Iterable<number> {
    for (const region of [probation, windowRegion, protectedRegion]) yield* this.#region(region).list.slots();
  }

  get bytes(): number {
    const columns = [
      this.#links.older,
      this.#links.newer,
      this.#regionOf,
      this.#weights,
      this.#hashes,
      this.#sketch,
    ];
    return columns.reduce((sum, column) => sum + column.bytes, 0);
  }

  #count(slot: number): number {
    return this.#sketch.count(this.#hashes.get(slot) >>> 0);
  }

  #moveOldest(from: number, to: number): boolean {
    const slot = this.#region(from).list.oldest();
    if (slot === undefined) return false;
    this.#leave(slot);
    this.#enter(slot, to);
    return true;
  }

  #enter(slot: number, region: number): void {
    this.#regionOf.set(slot, region);
    this.#region(region).list.add(slot);
    this.#region(region).weight += this.#weights.get(slot);
  }

  #leave(slot: number): void {
    const region = this.#region(this.#regionOf.get(slot));
    region.list.remove(slot);
    region.weight -= this.#weights.get(slot);
  }

  #windowShare(): number {
    return this.#climber.windowPart * this.#total();
  }

  #windowWeight(): number {
    return this.#regions[windowRegion].weight;
  }

  #total(): number {
    const [window, waiting, kept] = this.#regions;
    return window.weight + waiting.weight + kept.weight;
  }

  #region(region: number): Region {
    return this.#regions[region] as Region;
  }
}
