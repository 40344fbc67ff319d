import { type MapNode, type NodeMap, countStep, mapNodesMax } from './node-map.ts';

/** Versions that one request may use up: a fill, and all that wait for it, is one. */
const perRequestMax = 65_536;

/**
 * The versions that this node gives: a count, and behind it the node's index in the map. The count rises above every
 * version that is heard of (Lamport, "Time, clocks, and the ordering of events in a distributed system", 1978) and
 * stays below what the map says, above which a node that joins, or goes on after one that is gone, begins. So a
 * version is never given twice, and in a slot they grow wherever it moves, whatever the clocks of the nodes say.
 */
export class VersionCount {
  #count = 0;
  #below = 0;
  #index = 0;

  /** The version that was given last, or that the next one is above. */
  get newest(): number {
    return this.#count * mapNodesMax + this.#index;
  }

  /** What the map must let this node count beyond soon; undefined while there is room. */
  get wanted(): number | undefined {
    return this.#count + countStep / 2 < this.#below ? undefined : this.#count;
  }

  adopt(map: NodeMap, { index, countFrom }: MapNode): void {
    this.#index = index;
    this.#below = map.countBelow;
    this.#count = Math.max(this.#count, countFrom);
  }

  /** Versions that are given from now on are above `version`. */
  raise(version: number): void {
    this.#count = Math.max(this.#count, Math.ceil(version / mapNodesMax));
  }

  /** True when there are versions for another request, with all of its items; else the map has to be written before. */
  get hasRoom(): boolean {
    return this.#count + perRequestMax < this.#below;
  }

  /** The next version. Only where there is room (`hasRoom`). */
  next(): number {
    this.#count += 1;
    return this.newest;
  }
}
