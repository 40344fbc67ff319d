import type { Item } from './item.ts';
import { type ItemLookup, Lane } from './lane.ts';
import { LaneRing } from './lane-ring.ts';
import { BandTurns } from './band-turns.ts';

/**
 * The ready items of one queue: four bands. Where no item has a group a band is one line, first in first out; else
 * the band's groups take turns, item by item, and each group is a line. A group at a limit is parked: not looked at.
 */
export class ReadyBands {
  readonly #bands: (Band | undefined)[] = [undefined, undefined, undefined, undefined];
  /** Set while the queue is served by weight. */
  #turns: BandTurns | undefined;

  /** Appends an item that has just become ready. @param parked its group is at a limit */
  add(item: Item, parked = false): void {
    this.#open(item, parked).add(item);
  }

  /** Puts an item that was handed back where it was. @param parked its group is at a limit */
  putBack(item: Item, parked = false): void {
    this.#open(item, parked).putBack(item);
  }

  /** Must be called when a ready item changes and stays where it is. */
  changed(item: Item): void {
    this.#laneOf(item)?.changed(item);
  }

  /** Must be called when a ready item leaves its place by another way than being claimed. */
  left(item: Item): void {
    this.#leave(item);
  }

  /** Must be called when a ready item is claimed: its lane and its band have had their turn. */
  claimed(item: Item): void {
    const lane = this.#leave(item);
    if (lane !== undefined) this.#bands[item.band]?.ring?.served(lane);
    this.#turns?.taken(item.band);
  }

  /** Takes a group's items out of the choice, whatever their number; new ones must be added as parked. */
  park(group: string): void {
    for (const band of this.#bands) band?.ring?.park(group);
  }

  /** Lets a group's items in again. */
  unpark(group: string): void {
    for (const band of this.#bands) band?.ring?.unpark(group);
  }

  /** The groups that have ready items; one in several bands may come more than once. */
  *groups(): Iterable<string> {
    for (const band of this.#bands) {
      for (const { group } of band?.ring?.lanes ?? []) if (group !== undefined) yield group;
    }
  }

  /** Serves the bands by weight from now on, or (false) the most urgent first. */
  weigh(weighted: boolean): void {
    if (!weighted) this.#turns = undefined;
    else this.#turns ??= new BandTurns();
  }

  /** Gives back what empty bands take. */
  tidy(): void {
    for (const [index, band] of this.#bands.entries())
      if (band?.ring === undefined && band?.plain.count === 0) this.#bands[index] = undefined;
  }

  /** Brings entries that were added in another order into the order of readiness. */
  sort(): void {
    for (const band of this.#bands) {
      if (band?.ring === undefined) band?.plain.sort();
      else band.ring.sort();
    }
  }

  /** The item to hand out next, or undefined when none is ready. O(1) amortized, however many wait. */
  next(lookup: ItemLookup, nowMs: number, agingAfterMs: number): Item | undefined {
    if (this.#turns === undefined) return this.#mostUrgent(lookup, nowMs, agingAfterMs);
    const heads = this.#bands.map((band) => band && headOf(band, lookup));
    return heads[this.#turns.next(heads.map((head) => head !== undefined))];
  }

  /** When the item that has waited longest became ready, parked ones included, or undefined. */
  oldestReadyAt(lookup: ItemLookup): number | undefined {
    let oldest: number | undefined;
    for (const band of this.#bands) {
      const item = band && oldestOf(band, lookup);
      if (item !== undefined && (oldest === undefined || item.readyAt < oldest)) oldest = item.readyAt;
    }
    return oldest;
  }

  /**
   * Strict order with ageing: the head of a band counts as one band higher for every `agingAfterMs` that it has
   * waited, so that nothing starves; between equals the one that has waited longer goes first.
   */
  #mostUrgent(lookup: ItemLookup, nowMs: number, agingAfterMs: number): Item | undefined {
    let best: Item | undefined;
    let bestBand = Number.POSITIVE_INFINITY;
    for (const band of this.#bands) {
      const head = band && headOf(band, lookup);
      if (head === undefined) continue;
      const aged = Math.max(0, head.band - Math.floor((nowMs - head.readyAt) / agingAfterMs));
      const older = best !== undefined && aged === bestBand && head.readyAt < best.readyAt;
      if (aged < bestBand || older) {
        best = head;
        bestBand = aged;
      }
    }
    return best;
  }

  /** The lane that an item joins. */
  #open(item: Item, parked: boolean): Lane {
    let band = this.#bands[item.band];
    if (band === undefined) {
      band = { plain: new Lane(item.band, undefined), ring: undefined };
      this.#bands[item.band] = band;
    }
    if (item.group === undefined) return band.plain;
    band.ring ??= new LaneRing(band.plain);
    return band.ring.open(item.group, parked);
  }

  /** The lane that an item has left, or undefined when the lane went with it. */
  #leave(item: Item): Lane | undefined {
    const lane = this.#laneOf(item);
    if (lane === undefined) return undefined;
    lane.left(item);
    if (item.group === undefined || lane.count > 0) return lane;
    const band = this.#bands[item.band];
    band?.ring?.close(lane);
    // One lane is left: from here on there are no turns to take.
    if (band?.ring?.isEmpty === true) band.ring = undefined;
    return undefined;
  }

  #laneOf({ band, group }: Item): Lane | undefined {
    const here = this.#bands[band];
    return group === undefined ? here?.plain : here?.ring?.lane(group);
  }
}

interface Band {
  /** Items without a group. */
  readonly plain: Lane;
  /** All lanes, as long as there is more than the plain one. */
  ring: LaneRing | undefined;
}

function headOf({ plain, ring }: Band, lookup: ItemLookup): Item | undefined {
  if (ring === undefined) return plain.head(lookup);
  const first = ring.first;
  const head = first?.head(lookup);
  // Only the plain lane may be empty; it leaves its turn to the next one.
  if (first === undefined || head !== undefined) return head;
  ring.served(first);
  return ring.first === first ? undefined : ring.first?.head(lookup);
}

/** Places are given in the order of time, so the oldest item has the smallest one. */
function oldestOf({ plain, ring }: Band, lookup: ItemLookup): Item | undefined {
  let oldest = plain.head(lookup);
  // One walk, however many lanes begin with what does not hold any more. An item is looked up only where its lane may
  // have an older one: mostly in the first lanes, which are the oldest.
  for (const lane of ring?.lanes ?? []) {
    if (rankOf(lane) >= (oldest?.readyOrder ?? Number.POSITIVE_INFINITY)) continue;
    const head = lane.head(lookup);
    if (head !== undefined && (oldest === undefined || head.readyOrder < oldest.readyOrder)) oldest = head;
  }
  return oldest;
}

const rankOf = (lane: Lane): number => lane.firstRank ?? Number.POSITIVE_INFINITY;
