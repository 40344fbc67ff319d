import { Lane } from './lane.ts';

/**
 * The lanes of one band once some of its items have groups: one for each group that has ready items, and one for all
 * items without a group. They take turns: whoever was served goes to the end. A lane whose group is at a limit stands
 * beside the ring and costs nothing until it is let in again. Every operation is O(1).
 */
export class LaneRing {
  readonly #plain: Lane;
  readonly #lanes = new Map<string, Lane>();
  #first: Lane | undefined;

  constructor(plain: Lane) {
    this.#plain = plain;
    this.#link(plain);
  }

  /** The lane whose turn it is. The one without groups stands in the ring also when it is empty. */
  get first(): Lane | undefined {
    return this.#first;
  }

  /** True when no group has ready items here. */
  get isEmpty(): boolean {
    return this.#lanes.size === 0;
  }

  get lanes(): Iterable<Lane> {
    return this.#lanes.values();
  }

  lane(group: string): Lane | undefined {
    return this.#lanes.get(group);
  }

  /** The group's lane; a new one joins the ring at its end, or stands beside it when it is `parked`. */
  open(group: string, parked: boolean): Lane {
    let lane = this.#lanes.get(group);
    if (lane === undefined) {
      lane = new Lane(this.#plain.band, group);
      this.#lanes.set(group, lane);
      if (!parked) this.#link(lane);
    }
    return lane;
  }

  /** Forgets a group's lane with its entries: none of its items is ready any more. */
  close(lane: Lane): void {
    this.#unlink(lane);
    if (lane.group !== undefined) this.#lanes.delete(lane.group);
  }

  /** Sends a lane to the end: it has had its turn. */
  served(lane: Lane): void {
    if (lane.next === undefined || lane.next === lane) return;
    // In a circle the first one is also the one after the last.
    if (lane === this.#first) {
      this.#first = lane.next;
      return;
    }
    this.#unlink(lane);
    this.#link(lane);
  }

  /** Takes a group's lane off the ring: it is at a limit. */
  park(group: string): void {
    const lane = this.#lanes.get(group);
    if (lane !== undefined) this.#unlink(lane);
  }

  /** Lets a parked lane in again, at the end. */
  unpark(group: string): void {
    const lane = this.#lanes.get(group);
    if (lane !== undefined && lane.next === undefined) this.#link(lane);
  }

  /** Brings lanes and their entries that were added in another order into the order of readiness. */
  sort(): void {
    const linked = [this.#plain, ...this.#lanes.values()].filter((lane) => lane.next !== undefined);
    for (const lane of [this.#plain, ...this.#lanes.values()]) lane.sort();
    for (const lane of linked) this.#unlink(lane);
    for (const lane of linked.sort((a, b) => rankOf(a) - rankOf(b))) this.#link(lane);
  }

  #link(lane: Lane): void {
    const first = this.#first;
    const last = first?.previous;
    if (first === undefined || last === undefined) {
      lane.next = lane;
      lane.previous = lane;
      this.#first = lane;
      return;
    }
    lane.next = first;
    lane.previous = last;
    last.next = lane;
    first.previous = lane;
  }

  #unlink(lane: Lane): void {
    const { previous, next } = lane;
    if (previous === undefined || next === undefined) return;
    lane.previous = undefined;
    lane.next = undefined;
    if (next === lane) {
      this.#first = undefined;
      return;
    }
    previous.next = next;
    next.previous = previous;
    if (this.#first === lane) this.#first = next;
  }
}

const rankOf = (lane: Lane): number => lane.firstRank ?? Number.POSITIVE_INFINITY;
