import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { type NodeMap, hasStaying, nodeOf, settled } from './core/node-map.ts';
import type { SlotTable } from './core/slot-table.ts';
import type { VersionCount } from './core/version-count.ts';
import type { MapKeeper } from './map-keeper.ts';

/** What is kept in the slots of this node. */
export interface SlotContents {
  /** Asked when all is settled: whether some of it outlives this process here, in files that are right or noted as void. */
  keeps(): boolean;
  /** These slots, and no others, are going to be taken out: they are looked for while they are answered for still. */
  prepare(slots: readonly number[]): void;
  /** Whether all of them have been found. */
  isPrepared(): boolean;
  /**
   * Brings what is in these slots to where `take` finds it at once. Undefined: all of it is there now, and not for long;
   * else it is to be called again when the promise has resolved.
   */
  ready(slots: readonly number[]): Promise<void> | undefined;
  /** Resolves when what was taken out is durably gone from here. */
  taken(): Promise<void>;
  /**
   * Takes everything of a slot out, as bytes for another node: pieces of `pieceBytesMax` bytes at most, but for one
   * entry that is larger.
   */
  take(slot: number, pieceBytesMax: number): readonly Uint8Array[];
  /** Puts in a piece of a slot that another node took out. @param takenMs monotonic time before it did */
  admit(piece: Uint8Array, takenMs: number): void;
  /** Resolves when what was put in is kept, and there is room for the next piece. */
  admitted(): Promise<void>;
  /** Forgets all that is in these slots. */
  drop(slots: readonly number[]): void;
}

/** Asks the node that holds them for slots. The first question for a slot ends that it is answered for there. */
export interface FetchRequest {
  /** Id of the node that asks. */
  readonly to: string;
  /** Of the map that says that they are its own. */
  readonly serial: number;
  /** None: asks only whether the node is ready to give. */
  readonly slots: readonly number[];
  /** Pieces that have arrived already. */
  readonly after: number;
}

export type FetchReply =
  /** Not by the map that the asked node knows. */
  | { readonly kind: 'refused' }
  /** Ask again soon: the node looks for what is in its slots, and answers for them meanwhile. */
  | { readonly kind: 'preparing' }
  | {
      readonly kind: 'pieces';
      readonly pieces: readonly { readonly slot: number; readonly bytes: Uint8Array }[];
      readonly isLast: boolean;
      /** No version in these slots is above. */
      readonly newestVersion: number;
    };

export interface HandOverOptions {
  /** Id of this node. */
  readonly self: string;
  readonly table: SlotTable;
  readonly contents: SlotContents;
  readonly versions: VersionCount;
  readonly keeper: MapKeeper;
  readonly clock: Clock;
  /** Rejects when there is no answer. */
  readonly fetch: (node: string, request: FetchRequest) => Promise<FetchReply>;
  readonly messageBytesMax?: () => number | undefined;
  /** This node answers for these slots now: with what it fetched, or, where nobody was left to fetch from, with less or nothing. */
  readonly began: (slots: readonly number[], start: 'warm' | 'cold') => void;
  readonly failed: (error: unknown) => void;
}

/** Slots that are fetched at once: nobody answers for them meanwhile, so they are few. */
const slotsPerFetch = 16;
/** Slots after which the map is told, so that the other node can forget what it gave. */
const slotsPerSettling = 64;
const pieceBytesMax = 262_144;
/** Of one reply; below the server's `max_payload` also with an entry of the largest size behind it. */
const replyBytesMax = 4 * 1_048_576;
const retryMs = 50;
/** How often is read before slots are given: what is changed all the time may be missed by their next owner. */
const readsMax = 1_000;

/** Lets this node's slots come to it, warm, and others fetch theirs from it. One for each membership. */
export class HandOver {
  readonly #options: HandOverOptions;
  /** What was given and may be asked for again: until the map says that it has arrived. */
  readonly #given = new Map<number, readonly Uint8Array[]>();
  /** By slot: the number of the fetch that brings it, so that a late answer to another one is not taken for it. */
  readonly #fetchOf = new Map<number, number>();
  /** By slot: the node that said that it is ready to give it. */
  readonly #ready = new Map<number, string>();
  readonly #fetchingFrom = new Set<string>();
  /** Slots that have arrived, are held since, and of which the map does not know it yet. */
  readonly #toSettle = new Set<number>();
  #fetches = 0;
  #isSettling = false;
  #isClosed = false;

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  /** Nothing is fetched or given any more. */
  close(): void {
    this.#isClosed = true;
    this.#given.clear();
  }

  /** Whether nothing is on its way to this node or from it, of all that was begun. */
  get isQuiet(): boolean {
    const { table } = this.#options;
    const isMoving = table.slotsIn('arriving').length > 0 || table.slotsIn('given').length > 0;
    return !isMoving && this.#toSettle.size === 0;
  }

  /** A newer map is in force. */
  adopt(map: NodeMap): void {
    const { table, contents, began } = this.#options;
    const adopted = table.adopt(map);
    for (const slot of adopted.delivered) this.#given.delete(slot);
    contents.drop(adopted.dropped);
    if (adopted.begun.length > 0) began(adopted.begun, 'cold');
    for (const slot of this.#toSettle)
      if (!map.from.has(slot) || table.stateOf(slot) !== 'held') this.#toSettle.delete(slot);
    // A map that was lost, and repaired from an older one, may have forgotten that they are here.
    for (const slot of map.from.keys())
      if (map.owners[slot] === this.#options.self && table.stateOf(slot) === 'held') this.#toSettle.add(slot);
    contents.prepare(
      [...map.from].filter(([, holder]) => holder === this.#options.self).map(([slot]) => slot),
    );
    const sources = new Set(table.slotsIn('awaited').map((slot) => map.from.get(slot)));
    for (const from of sources) if (from !== undefined) void this.#fetchAll(from);
    if (sources.size === 0 && this.#toSettle.size > 0) void this.#settle();
  }

  /** Gives slots to the node that is to answer for them, and keeps what it gave for a repeated question. */
  async give(request: FetchRequest): Promise<FetchReply> {
    const { table, contents, keeper, versions } = this.#options;
    await keeper.hear(request.serial).catch(this.#options.failed);
    if (this.#isClosed) return { kind: 'refused' };
    const isFirst =
      request.slots.length === 0 || request.slots.some((slot) => table.stateOf(slot) === 'held');
    if (isFirst && !contents.isPrepared()) return { kind: 'preparing' };
    for (let left = isFirst ? readsMax : 0; left > 0; left -= 1) {
      const reading = contents.ready(request.slots);
      if (reading === undefined) break;
      await reading;
      if (this.#isClosed) return { kind: 'refused' };
    }
    const outcomes = request.slots.map((slot) => ({ slot, given: table.give(slot, request.to) }));
    for (const { slot, given } of outcomes)
      if (given === 'given') {
        this.#toSettle.delete(slot);
        this.#given.set(slot, contents.take(slot, pieceBytesMax));
      }
    await contents.taken();
    if (outcomes.some(({ given }) => given === 'refused')) return { kind: 'refused' };
    // What was given to another node, which is gone since, is not what is true: that one may have changed it.
    const all = outcomes
      .filter(({ given }) => given !== 'empty')
      .flatMap(({ slot }) => (this.#given.get(slot) ?? []).map((bytes) => ({ slot, bytes })));
    const bytesMax = Math.min(replyBytesMax, (this.#options.messageBytesMax?.() ?? Infinity) / 2);
    let end = request.after;
    for (let bytes = 0; end < all.length; end += 1) {
      bytes += all[end]?.bytes.length ?? 0;
      if (bytes > bytesMax && end > request.after) break;
    }
    return {
      kind: 'pieces',
      pieces: all.slice(request.after, end),
      isLast: end >= all.length,
      newestVersion: versions.newest,
    };
  }

  /** One node is asked for one thing after the other; different ones side by side. */
  async #fetchAll(from: string): Promise<void> {
    if (this.#fetchingFrom.has(from)) return;
    this.#fetchingFrom.add(from);
    const { table } = this.#options;
    try {
      while (this.#mayBegin()) {
        if (!(await this.#isReady(from)) || !this.#mayBegin()) continue;
        const slots = table.arrive(this.#awaitedFrom(from).slice(0, slotsPerFetch), from);
        if (slots.length === 0) break;
        await this.#fetch(slots, from);
        if (this.#toSettle.size >= slotsPerSettling) void this.#settle();
      }
    } finally {
      this.#fetchingFrom.delete(from);
    }
    await this.#settle();
  }

  /** Where all nodes leave, each keeps what it has. */
  #mayBegin(): boolean {
    return !this.#isClosed && hasStaying(this.#options.table.map);
  }

  /**
   * Whether the node has found what is in the slots that are awaited from it. Asked before they are fetched, so that
   * nobody waits for a slot while it looks.
   */
  async #isReady(from: string): Promise<boolean> {
    const { self, table, clock } = this.#options;
    const awaited = this.#awaitedFrom(from);
    if (awaited.every((slot) => this.#ready.get(slot) === from)) return true;
    const reply = await this.#ask(from, { to: self, serial: table.map.serial, slots: [], after: 0 });
    if (reply !== undefined) for (const slot of awaited) this.#ready.set(slot, from);
    else await sleep(clock, retryMs);
    return reply !== undefined;
  }

  #awaitedFrom(from: string): readonly number[] {
    const { table } = this.#options;
    return table.slotsIn('awaited').filter((slot) => table.map.from.get(slot) === from);
  }

  async #fetch(slots: readonly number[], from: string): Promise<void> {
    const { self, table, contents, keeper, clock } = this.#options;
    const fetch = (this.#fetches += 1);
    for (const slot of slots) this.#fetchOf.set(slot, fetch);
    // Not every slot may come from there for long: one whose former node is out of the map begins without it.
    const isComing = (slot: number): boolean =>
      !this.#isClosed && this.#fetchOf.get(slot) === fetch && table.stateOf(slot) === 'arriving';
    const takenMs = clock.monotonicMs();
    let after = 0;
    while (slots.some(isComing)) {
      const reply = await this.#ask(from, { to: self, serial: keeper.map.serial, slots, after });
      if (reply === undefined) {
        await sleep(clock, retryMs);
        continue;
      }
      for (const { slot, bytes } of reply.pieces) {
        await contents.admitted();
        if (isComing(slot)) contents.admit(bytes, takenMs);
      }
      after += reply.pieces.length;
      if (!reply.isLast) continue;
      this.#options.versions.raise(reply.newestVersion);
      const here = table.arrived(slots.filter(isComing));
      for (const slot of here) this.#toSettle.add(slot);
      if (here.length > 0) this.#options.began(here, 'warm');
      return;
    }
  }

  /** Undefined when there was no answer, or none that helps: the map may tell why. */
  async #ask(from: string, request: FetchRequest) {
    const { keeper, failed } = this.#options;
    try {
      const reply = await this.#options.fetch(from, request);
      if (reply.kind === 'pieces') return reply;
      if (reply.kind === 'refused') await keeper.refresh();
    } catch (error) {
      failed(error);
    }
    return undefined;
  }

  /** Tells the map what has arrived. */
  async #settle(): Promise<void> {
    if (this.#isSettling) return;
    this.#isSettling = true;
    const { self, keeper, clock, failed } = this.#options;
    while (this.#toSettle.size > 0 && !this.#isClosed && nodeOf(keeper.map, self) !== undefined) {
      const slots = [...this.#toSettle];
      try {
        // Only what is held still: a try of which nothing was heard may have counted, and the slot have gone on from here
        // and be on its way back. It is not here then.
        await keeper.change((map) =>
          settled(
            map,
            self,
            slots.filter((slot) => this.#toSettle.has(slot)),
          ),
        );
        for (const slot of slots) this.#toSettle.delete(slot);
      } catch (error) {
        failed(error);
        await sleep(clock, retryMs);
      }
    }
    this.#isSettling = false;
  }
}
