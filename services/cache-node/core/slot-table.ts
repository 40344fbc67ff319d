import { cacheSlots } from '#shared/protocol/cache-slots.ts';
import type { NodeMap } from './node-map.ts';

/**
 * What one node has to do with one slot:
 * `none`; `held`: it answers; `awaited`: it is the owner, and the node that it comes from answers still; `arriving`: it
 * fetches it, and nobody answers; `given`: it let another node fetch it, and answers no more.
 */
export type SlotState = 'none' | 'held' | 'awaited' | 'arriving' | 'given';

/** Where a request for a slot goes. */
export type Route =
  | { readonly kind: 'serve' }
  /** It is being fetched: the request waits for it. */
  | { readonly kind: 'hold' }
  | { readonly kind: 'forward'; readonly node: string }
  /** There is no node that could answer. */
  | { readonly kind: 'nobody' };

/** What a new map means for this node. */
export interface Adopted {
  /** Slots that it answers for from now on, with nothing in them. */
  readonly begun: readonly number[];
  /** Slots with which it has nothing to do any more: what it holds of them goes. */
  readonly dropped: readonly number[];
  /** Slots that others have fetched from it for good: what it kept of them for a repeated question goes. */
  readonly delivered: readonly number[];
}

export type Given = 'given' | 'again' | 'empty' | 'refused';

const serve: Route = { kind: 'serve' };
const hold: Route = { kind: 'hold' };
const nobody: Route = { kind: 'nobody' };

/**
 * The slots as one node sees them. Safety rests on one rule: a node answers for a slot only while it holds it, it
 * holds it only after it fetched it from whoever held it before, or after that one is out of the map, and whoever lets
 * it be fetched has stopped to answer before. So it does not matter how old a node's map is; that it may answer at
 * all is said by its lease.
 */
export class SlotTable {
  readonly #self: string;
  readonly #states: SlotState[] = Array.from({ length: cacheSlots }, () => 'none');
  /** For slots that were given: to whom. */
  readonly #givenTo = new Map<number, string>();
  #map: NodeMap;
  #heldCount = 0;
  /** For slots that are held: the serial of the map since which they are. */
  readonly #heldSince = new Map<number, number>();

  constructor(self: string, map: NodeMap) {
    this.#self = self;
    this.#map = map;
  }

  get map(): NodeMap {
    return this.#map;
  }

  /** Slots that this node answers for now. */
  get heldCount(): number {
    return this.#heldCount;
  }

  /** The serial of the map since which a slot that is held was held without a break. */
  heldSince(slot: number): number {
    return this.#heldSince.get(slot) ?? Infinity;
  }

  stateOf(slot: number): SlotState {
    return this.#states[slot] ?? 'none';
  }

  slotsIn(state: SlotState): readonly number[] {
    const found: number[] = [];
    for (const [slot, one] of this.#states.entries()) if (one === state) found.push(slot);
    return found;
  }

  /** Takes over a newer map, in which this node is. */
  adopt(map: NodeMap): Adopted {
    this.#map = map;
    const adopted = { begun: [] as number[], dropped: [] as number[], delivered: [] as number[] };
    for (let slot = 0; slot < cacheSlots; slot += 1) {
      if (map.owners[slot] === this.#self) this.#adoptOwn(slot, adopted);
      else this.#adoptForeign(slot, adopted);
    }
    return adopted;
  }

  routeOf(slot: number): Route {
    const state = this.stateOf(slot);
    if (state === 'held') return serve;
    if (state === 'arriving') return hold;
    if (state === 'given') return forwardTo(this.#givenTo.get(slot));
    // Only the owner knows whether it has fetched the slot: what it has not fetched it sends on to where it comes from.
    return forwardTo(state === 'awaited' ? this.#map.from.get(slot) : this.#map.owners[slot]);
  }

  /** The owner begins to fetch slots from `from`: those of `slots` that it still awaits from there. */
  arrive(slots: readonly number[], from: string): readonly number[] {
    const begun = slots.filter(
      (slot) => this.stateOf(slot) === 'awaited' && this.#map.from.get(slot) === from,
    );
    for (const slot of begun) this.#set(slot, 'arriving');
    return begun;
  }

  /** Everything that was in these slots is here: those that this node answers for from now on. */
  arrived(slots: readonly number[]): readonly number[] {
    const here = slots.filter((slot) => this.stateOf(slot) === 'arriving');
    for (const slot of here) this.#set(slot, 'held');
    return here;
  }

  /**
   * Another node wants to fetch a slot. After `given` this node answers for it no more.
   * @returns `again` when the same node asked before, `empty` when there is nothing to be fetched, `refused` when the
   *   map, as this node knows it, does not say so
   */
  give(slot: number, to: string): Given {
    if (this.#map.owners[slot] !== to || this.#map.from.get(slot) !== this.#self) return 'refused';
    const state = this.stateOf(slot);
    if (state === 'given') return this.#givenTo.get(slot) === to ? 'again' : 'empty';
    if (state !== 'held') return 'empty';
    this.#set(slot, 'given');
    this.#givenTo.set(slot, to);
    return 'given';
  }

  #adoptOwn(slot: number, adopted: { readonly begun: number[]; readonly delivered: number[] }): void {
    const state = this.stateOf(slot);
    if (state === 'held') return;
    if (this.#map.from.has(slot)) {
      if (state === 'arriving') return;
      if (state === 'given') adopted.delivered.push(slot);
      this.#set(slot, 'awaited');
      return;
    }
    // It comes from nobody (any more): what has arrived of it is right, since nobody has changed it since.
    if (state === 'given') adopted.delivered.push(slot);
    adopted.begun.push(slot);
    this.#set(slot, 'held');
  }

  #adoptForeign(
    slot: number,
    adopted: { readonly begun: number[]; readonly dropped: number[]; readonly delivered: number[] },
  ): void {
    const state = this.stateOf(slot);
    const isFetched = this.#map.from.get(slot) === this.#self;
    if (isFetched && state !== 'held' && state !== 'given') {
      // It was this node's, and came from nobody (any more), in a map that it has not seen. What has arrived of it, and
      // what its files have of it, goes along, or would be old later.
      adopted.begun.push(slot);
      this.#set(slot, 'held');
      return;
    }
    if (state === 'none' || isFetched) return;
    (state === 'given' ? adopted.delivered : adopted.dropped).push(slot);
    this.#set(slot, 'none');
  }

  #set(slot: number, state: SlotState): void {
    if (this.stateOf(slot) === 'held') this.#heldCount -= 1;
    if (state === 'held') this.#heldCount += 1;
    if (state === 'held') this.#heldSince.set(slot, this.#map.serial);
    else this.#heldSince.delete(slot);
    if (state !== 'given') this.#givenTo.delete(slot);
    this.#states[slot] = state;
  }
}

const forwardTo = (node: string | undefined): Route =>
  node === undefined ? nobody : { kind: 'forward', node };
