import { sleep } from '#shared/runtime/clock.ts';
import { type LeaseRecord, type Owner, OwnerLease } from '#shared/runtime/owner-lease.ts';
import {
  type NodeMap,
  countRaised,
  hasStaying,
  joined,
  leaving,
  mapNodesMax,
  nodeOf,
  removed,
  waitEnded,
} from './core/node-map.ts';
import { type Route, SlotTable } from './core/slot-table.ts';
import { Tenures } from './core/tenures.ts';
import { cacheSlots } from '#shared/protocol/cache-slots.ts';
import { VersionCount } from './core/version-count.ts';
import type { ClusterNodeOptions, PeerNews } from './cluster-node-options.ts';
import { type FetchReply, type FetchRequest, HandOver } from './hand-over.ts';
import { LeaseWatch, wasPutOut } from './lease-watch.ts';
import { MapKeeper } from './map-keeper.ts';

interface Member {
  readonly id: string;
  readonly table: SlotTable;
  readonly handOver: HandOver;
  readonly tenures: Tenures;
  /** True once it was in the map. */
  isIn: boolean;
}

const nobody: Route = { kind: 'nobody' };

/**
 * One cache node among others: which slots it answers for, and how it gets and gives them. Its own lease says that it
 * may answer at all; the map, and what it fetched, say for which slots. Nodes watch each other's leases: a node that
 * did not renew is put out of the map by whoever notices first.
 */
export class ClusterNode {
  readonly versions = new VersionCount();
  readonly #options: ClusterNodeOptions;
  readonly #lease: OwnerLease;
  readonly #watch: LeaseWatch;
  readonly #keeper: MapKeeper;
  #member: Member | undefined;
  /** Under which this node was in the map last. */
  #formerId: string | undefined;
  #wasCutOff = false;
  #ticks = 0;
  /** Since when this node has seen slots wait for a node that is gone. */
  #waitsSinceMs: number | undefined;
  #isBusy = false;
  #stopped = false;
  #hasLeft = false;
  #cancelTick = () => {};
  #noticed = () => {};

  constructor(options: ClusterNodeOptions) {
    this.#options = options;
    const { clock, leaseMs, name, instance, leaseOf, mapRecord } = options;
    this.#keeper = new MapKeeper({
      record: mapRecord,
      clock,
      answerMsMax: leaseMs / 2,
      adopted: (map) => this.#adopt(map),
    });
    this.#lease = new OwnerLease({
      record: telling(leaseOf(name), (leaseRevision) =>
        options.peers.tell({ node: name, leaseRevision, serial: this.#keeper.map.serial }),
      ),
      clock,
      self: { node: name, instance },
      leaseMs,
      gained: () => this.#become(),
      lost: (by) => this.#cease(wasPutOut(by) ? undefined : by),
      failed: options.events.failed,
    });
    this.#watch = new LeaseWatch({ clock, leaseMs, leaseOf, mayJudge: () => this.#lease.holds() });
  }

  get map(): NodeMap {
    return this.#keeper.map;
  }

  /** Id of this membership, once this node is in the map. */
  get id(): string | undefined {
    return this.#member?.isIn === true ? this.#member.id : undefined;
  }

  /** Slots that it answers for. */
  heldSlots(): readonly number[] {
    return this.#member?.table.slotsIn('held') ?? [];
  }

  holds(slot: number): boolean {
    return this.#member?.table.stateOf(slot) === 'held';
  }

  /** The slots that it answers for, each with the version of its tenure. */
  tenures(): ReadonlyMap<number, number> {
    return this.#member?.tenures.of(this.heldSlots()) ?? new Map();
  }

  /**
   * Draws the versions of `tenures` anew, above `version`. False while the map has no room for that: so they stay below
   * those of whoever comes after this node, also where it does not know yet that somebody has.
   */
  outdo(version: number): boolean {
    this.versions.raise(version);
    if (!this.mayServe() || !this.versions.hasRoom) return false;
    this.#member?.tenures.begin(this.heldSlots());
    return true;
  }

  /** The serial of the map since which it answers for a slot without a break; Infinity when it does not. */
  heldSince(slot: number): number {
    return this.#member?.table.heldSince(slot) ?? Infinity;
  }

  /** The part of all slots that is or will be this node's. */
  get share(): number {
    const { id, table } = this.#member ?? {};
    if (table === undefined) return 1;
    let owned = 0;
    for (const owner of this.#keeper.map.owners) if (owner === id) owned += 1;
    // What is not given yet needs its room still; a node that has nothing yet has room for what comes.
    return Math.max(owned, table.heldCount, 1) / cacheSlots;
  }

  /** Resolves once this node is in the map. */
  async start(): Promise<void> {
    this.#tickLater();
    await this.#lease.start();
    await this.#until(() => this.#member?.isIn === true);
  }

  /** Whether this node may answer for anything at this very moment, by its own clock. */
  mayServe(): boolean {
    return !this.#hasLeft && this.#member?.isIn === true && this.#lease.holds();
  }

  /** Whether nobody can have put this node out of the map yet, by its own clock. */
  holdsLease(): boolean {
    return this.#lease.holds();
  }

  /**
   * Whether what comes now was sent just now. A process that was paused is handed what lay there for it: who asked has
   * given up, and may have done something else since.
   */
  isInTouch(): boolean {
    return this.#lease.isInTouch();
  }

  /** Where a request for a key in `slot` goes; serving is for those who `mayServe`. */
  routeOf(slot: number): Route {
    const member = this.#member;
    if (member?.isIn === true) return member.table.routeOf(slot);
    const owner = this.#keeper.map.owners[slot];
    // The map may have this node still as it was: nobody listens there any more.
    return owner === undefined || owner === this.#formerId ? nobody : { kind: 'forward', node: owner };
  }

  /** The connection was lost and is there again: the others may need longer, and are not judged by the time between. */
  reconnected(): void {
    this.#watch.forgive();
  }

  hear(news: PeerNews): void {
    if (news.node !== this.#options.name) this.#watch.hear(news.node, news.leaseRevision);
    this.#keeper.hear(news.serial).catch(this.#options.events.failed);
  }

  /** Another node fetches slots from this one. */
  give(request: FetchRequest): Promise<FetchReply> {
    return this.#member?.handOver.give(request) ?? Promise.resolve({ kind: 'refused' });
  }

  /**
   * Hands over what it holds, at most for `msMax`, and leaves. It goes on to answer and to forward meanwhile.
   * @param settled  called when it answers no more, and before it is out of the map: for what has to be durable then
   * @returns false when the others did not fetch everything in time
   */
  async leave(msMax: number, settled: () => Promise<void> = () => Promise.resolve()): Promise<boolean> {
    const { clock, contents } = this.#options;
    const member = this.#member;
    let isEmpty = true;
    if (member !== undefined) {
      const { id, handOver, table } = member;
      const untilMs = clock.monotonicMs() + msMax;
      const isLate = () => clock.monotonicMs() >= untilMs;
      await this.#changeUntil(isLate, (map) => leaving(map, id));
      await this.#until(() => isLate() || this.#member !== member || !hasWork(this.#keeper.map, member));
      isEmpty = !hasWork(this.#keeper.map, member);
      // Where others stay, what they did not fetch in time is theirs all the same.
      const isLast = this.#member === member && !hasStaying(this.#keeper.map, id);
      this.#hasLeft = true;
      handOver.close();
      await settled();
      // What arrived in part alone is in the files as well.
      const keeps = isLast && table.slotsIn('arriving').length === 0 && contents.keeps();
      const kept = keeps ? table.slotsIn('held') : [];
      this.#stop();
      // What cannot be written is written by the others, when they see that the lease was given back.
      await this.#changeUntil(isLate, (map) => removed(map, id, kept));
    }
    this.#stop();
    await this.#lease.release();
    return isEmpty;
  }

  /** Tries a change, at least once, until it is made or `isLate`. */
  async #changeUntil(isLate: () => boolean, step: (map: NodeMap) => NodeMap | undefined): Promise<void> {
    const { clock, leaseMs, events } = this.#options;
    for (;;) {
      try {
        await this.#keeper.change(step);
        this.#tell();
        return;
      } catch (error) {
        events.failed(error);
      }
      if (isLate()) return;
      await sleep(clock, leaseMs / 16);
    }
  }

  #become(): void {
    if (this.#stopped || this.#hasLeft) return;
    const { clock, contents, peers, events, newId } = this.#options;
    const id = newId();
    contents.clear();
    const table = new SlotTable(id, this.#keeper.map);
    const tenures = new Tenures(() => this.versions.next());
    const handOver = new HandOver({
      self: id,
      table,
      contents,
      versions: this.versions,
      keeper: this.#keeper,
      clock,
      fetch: (node, request) => peers.fetch(node, request),
      messageBytesMax: () => peers.messageBytesMax,
      began: (slots, start) => {
        tenures.begin(slots);
        events.began(slots, start);
      },
      failed: events.failed,
    });
    this.#member = { id, table, handOver, tenures, isIn: false };
    // Heard of before anybody can ask for it.
    events.joined(id);
    void this.#join(this.#member);
  }

  async #join(member: Member): Promise<void> {
    try {
      await this.#keeper.refresh();
      if (this.#member !== member) return;
      const { name } = this.#options;
      await this.#keeper.change((map) => {
        if (nodeOf(map, member.id) !== undefined || this.#member !== member) return undefined;
        return joined(map, { id: member.id, name });
      });
      this.#tell();
    } catch (error) {
      // The next tick tries again.
      this.#options.events.failed(error);
    }
  }

  #adopt(map: NodeMap): void {
    const member = this.#member;
    const node = nodeOf(map, member?.id);
    if (member !== undefined && node !== undefined) {
      this.versions.adopt(map, node);
      if (!member.isIn) this.#options.events.entered(member.id, node.filesSince * mapNodesMax);
      member.isIn = true;
      member.handOver.adopt(map);
    } else if (member?.isIn === true) this.#cease(undefined);
    this.#options.events.mapChanged(map);
    this.#noticed();
  }

  /** Forgets everything: another node may answer in its place already. */
  #cease(by: Owner | undefined): void {
    const member = this.#member;
    if (member === undefined) return;
    this.#member = undefined;
    this.#formerId = member.id;
    member.handOver.close();
    this.#options.contents.clear();
    this.#options.events.left(by);
  }

  #stop(): void {
    this.#stopped = true;
    this.#cancelTick();
    this.#cease(undefined);
  }

  #tickLater(): void {
    this.#cancelTick = this.#options.clock.after(this.#options.leaseMs / 16, () => {
      void this.#tick();
      if (!this.#stopped) this.#tickLater();
    });
  }

  async #tick(): Promise<void> {
    this.#noticed();
    const holds = this.#lease.holds();
    if (holds && this.#wasCutOff) {
      this.#watch.forgive();
      // Whoever is waited for may have been cut off as well.
      this.#waitsSinceMs = undefined;
    }
    this.#wasCutOff = !holds;
    this.#ticks += 1;
    if (!holds || this.#isBusy) return;
    this.#isBusy = true;
    try {
      await this.#lookAround();
    } catch (error) {
      this.#options.events.failed(error);
    } finally {
      this.#isBusy = false;
    }
  }

  async #lookAround(): Promise<void> {
    const keeper = this.#keeper;
    if (this.#ticks % 4 === 0) await keeper.refresh();
    await keeper.repair();
    if (this.#stopped) return;
    if (this.#member === undefined) this.#become();
    const member = this.#member;
    if (member === undefined) return;
    if (!member.isIn) await this.#join(member);
    await this.#endWait();
    const { wanted } = this.versions;
    if (wanted !== undefined) await keeper.change((map) => countRaised(map, wanted));
    const others = keeper.map.nodes.filter((node) => node.name !== this.#options.name);
    for (const name of await this.#watch.look(others.map((node) => node.name))) {
      const { id } = others.find((node) => node.name === name) ?? {};
      if (id !== undefined) await keeper.change((map) => removed(map, id));
      this.#tell();
    }
  }

  /** Slots wait for nodes that are gone only for so long. */
  async #endWait(): Promise<void> {
    const { clock, returnMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const { map } = this.#keeper;
    // While all leave nobody waits yet: a node that takes long to leave has seen it all the time.
    if (map.last.size === 0 || !hasStaying(map)) this.#waitsSinceMs = undefined;
    else if (nowMs - (this.#waitsSinceMs ??= nowMs) >= returnMs) await this.#keeper.change(waitEnded);
  }

  /** Says that there is a newer map. */
  #tell(): void {
    const { peers, name } = this.#options;
    peers.tell({ node: name, leaseRevision: 0, serial: this.#keeper.map.serial });
  }

  /** Resolves when `isDone`, which is looked at with every map and every tick. */
  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone() && !this.#stopped) {
      await new Promise<void>((resolve) => {
        const before = this.#noticed;
        this.#noticed = () => {
          this.#noticed = before;
          before();
          resolve();
        };
      });
    }
  }
}

/** Whether somebody has still to fetch something from the node, or could; where all leave, whether something is on its way. */
function hasWork(map: NodeMap, { id, handOver }: Pick<Member, 'id' | 'handOver'>): boolean {
  if (!hasStaying(map, id)) return !handOver.isQuiet;
  for (const holder of map.from.values()) if (holder === id) return true;
  return map.owners.includes(id);
}

/** The record, with word of each revision that this process wrote. */
const telling = (record: LeaseRecord, written: (revision: number) => void): LeaseRecord => ({
  read: () => record.read(),
  write: async (owner, revision) => {
    const now = await record.write(owner, revision);
    if (now !== undefined) written(now);
    return now;
  },
  remove: (revision) => record.remove(revision),
});
