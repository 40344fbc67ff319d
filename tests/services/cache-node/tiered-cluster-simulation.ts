import assert from 'node:assert/strict';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { Namespaces } from '#services/cache-node/core/namespaces.ts';
import { NodeContents } from '#services/cache-node/slot-contents.ts';
import type { TierNote, TierRecord } from '#services/cache-node/tier-record.ts';
import { Tier } from '#services/cache-node/tier.ts';
import { decideTiered } from '#services/cache-node/tiered-turn.ts';
import { slotOf } from '#shared/protocol/cache-slots.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { type ProcessClock, VirtualClock } from '#tests/support/virtual-clock.ts';
import { setOf, valueOf } from './made-namespace.ts';
import { type Answer, type Request, VirtualCallers } from './virtual-callers.ts';
import { VirtualCluster, type VirtualProcess, type Weather } from './virtual-cluster.ts';
import { VirtualRedis, VirtualRedisBackend } from './virtual-redis.ts';

// Cache nodes with little memory over one Redis: their real memberships, hand-overs, tiers and turns, on one virtual
// clock. Processes crash, leave, join and are frozen; Redis refuses and freezes.

const calm: Weather = { lost: 0, doubled: 0, late: 0, lateMsMax: 1 };
const fair: Weather = { lost: 0.01, doubled: 0, late: 0.05, lateMsMax: 200 };

const deadlineMs = 250;
const patienceMs = 3_000;
/** Of which nothing is heard may still be done so long after it was sent: it waits for a slot, or for two leases. */
const lateMsMax = 6_000;
const hopsMax = 6;
const keys = Array.from({ length: 24 }, (_, n) => `key-${n}`);
const reply = new Uint8Array([1]);

export interface TieredRun {
  readonly answered: number;
  readonly hits: number;
  readonly outages: number;
  readonly refused: number;
  readonly unheard: number;
}

type Process = VirtualProcess<TieredContents>;

export async function simulateTieredCluster(
  seed: number,
  setNow: (nowMs: number) => void,
): Promise<TieredRun> {
  return new Simulation(seed, setNow).run();
}

/** What a process has in its memory, and its tier: made anew with each membership. */
class Memory {
  readonly namespaces: Namespaces;
  readonly namespace: Namespace;
  readonly tier: Tier;

  constructor(world: Simulation, process: Process) {
    const { versions } = process.node;
    const options = { versions, bytesMax: 2 ** 30, epoch: 'e', random01: () => 0.5 };
    this.namespaces = new Namespaces({ ...options, hashSecret: [1, 2] });
    const opened = this.namespaces.open('n');
    if (!opened.ok) throw new Error('no namespace');
    this.namespace = opened.value;
    // Little, so that most of it is in Redis alone.
    this.namespace.configure({ entriesMax: 4 }, 0);
    const nowMs = () => process.clock.monotonicMs();
    this.tier = new Tier({
      namespace: 'n',
      node: process.name,
      backend: world.backendOf(process),
      isOwn: false,
      front: this.namespace.residents,
      clock: process.clock,
      nowMs,
      versions,
      isMine: (key) => process.node.routeOf(slotOf('n', key)).kind === 'serve',
      quota: () => ({ entriesMax: Infinity, bytesMax: Infinity }),
      record: world.recordOf(process),
      since: 0,
      copies: false,
      deadlineMs,
      changed: (state) => {
        if (state.degraded) world.counts.outages += 1;
      },
    });
    this.namespace.noteTo((change) => this.tier.note(change));
  }
}

class TieredContents extends NodeContents {
  memory: Memory | undefined;
  /** Set at once, since a node cannot be in a map before it is made. */
  process!: Process;

  constructor(clock: ProcessClock) {
    super({
      namespaces: () => this.memory?.namespaces ?? noNamespaces(),
      clock,
      tierOf: () => this.memory?.tier,
      fileOf: () => undefined,
      wallMs: (ms) => ms,
      dismissed: () => undefined,
      clear: () => this.forget(),
    });
  }

  forget(): void {
    void this.memory?.tier.abandon();
    this.memory = undefined;
  }

  async settle(): Promise<void> {
    await this.memory?.tier.close();
  }
}

function noNamespaces(): Namespaces {
  const versions = { next: () => 0, raise: () => undefined };
  return new Namespaces({ versions, bytesMax: 0, epoch: '', random01: () => 0, hashSecret: [0, 0] });
}

class Simulation {
  readonly counts = { outages: 0 };
  readonly #callers: VirtualCallers;
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #cluster: VirtualCluster<TieredContents>;
  readonly #redis = new VirtualRedis();
  readonly #notes = new Map<string, TierNote>();
  readonly #setNow: (nowMs: number) => void;
  readonly #failures: unknown[] = [];
  readonly #latencyMsMax: number;
  #names = 0;

  constructor(seed: number, setNow: (nowMs: number) => void) {
    this.#random = new SeededRandom(seed);
    this.#setNow = setNow;
    this.#latencyMsMax = this.#random.pick([1, 5, 40]);
    this.#callers = new VirtualCallers({
      clock: this.#clock,
      random: this.#random,
      keys,
      patienceMs,
      lateMsMax,
      mayMiss: true,
      send: (request) => this.#send(request),
      failed: (error) => this.#failures.push(error),
    });
    this.#cluster = new VirtualCluster({
      clock: this.#clock,
      random: this.#random,
      weather: this.#random.chance(0.5) ? calm : fair,
      contentsOf: (_name, clock) => new TieredContents(clock),
      watcher: {
        entered: (process) => {
          process.contents.forget();
          process.contents.memory = new Memory(this, process);
        },
        began: (process) => process.contents.memory?.tier.regain(),
      },
    });
  }

  async run(): Promise<TieredRun> {
    for (let n = 0; n < 2; n += 1) this.#start();
    for (let step = 0; step < 80; step += 1) {
      if (this.#random.chance(0.15)) this.#strike();
      if (this.#random.chance(0.1))
        this.#redis.setWeather(this.#random.pick(['fine', 'fine', 'fine', 'frozen', 'refusing']));
      for (let ms = this.#random.integer(50, 600); ms > 0; ms -= 10) {
        for (let n = 0; n < 3; n += 1) this.#callers.ask();
        await this.#advance(10);
      }
    }
    await this.#comeToRest();
    return { ...this.counts, ...this.#callers.counts };
  }

  backendOf(process: Process): VirtualRedisBackend {
    return new VirtualRedisBackend({
      redis: this.#redis,
      world: this.#clock,
      process: process.clock,
      random: this.#random,
      latencyMsMax: this.#latencyMsMax,
      slotOf: (key) => slotOf('n', key),
      slots: () => process.node.tenures(),
      mayWrite: () => process.node.holdsLease(),
    });
  }

  recordOf(process: Process): TierRecord {
    const ask = <Value>(act: () => Value) => this.#cluster.onServer(process.clock, act);
    return {
      read: () => ask(() => this.#notes.get(process.name)),
      isOutageElsewhere: () =>
        ask(() => [...this.#notes].some(([name, note]) => name !== process.name && note.outage)),
      write: (_namespace, note) => ask(() => void this.#notes.set(process.name, note)),
    };
  }

  #start(name = `node-${(this.#names += 1)}`): void {
    this.#cluster.start(name);
  }

  /** Step by step, since the circuit breaker reads the wall clock. */
  async #advance(ms: number): Promise<void> {
    this.#setNow(this.#clock.nowMs());
    await this.#clock.advance(ms);
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  #running(): readonly Process[] {
    return this.#cluster.processes.filter((process) => process.state === 'running');
  }

  #strike(): void {
    const { random } = this;
    const running = this.#running();
    if (running.length < 3 && random.chance(0.3)) this.#start();
    if (running.length < 2) return;
    const victim = random.pick(running);
    const what = random.pick(['leave', 'restart', 'pause', 'pause', 'pause']);
    if (what === 'leave') void this.#cluster.leave(victim);
    if (what === 'restart') {
      this.#cluster.crash(victim);
      this.#start(victim.name);
    }
    if (what === 'pause') {
      this.#cluster.pause(victim);
      this.#clock.after(random.integer(100, 12_000), () => this.#cluster.wake(victim));
    }
  }

  get random(): SeededRandom {
    return this.#random;
  }

  /** To any process that listens; frozen ones do. */
  #send(request: Request): boolean {
    const there = this.#cluster.processes.filter(
      ({ state, node }) => state !== 'ended' && node.id !== undefined,
    );
    if (there.length > 0) this.#deliver(this.#random.pick(there), request);
    return there.length > 0;
  }

  #deliver(process: Process, request: Request): void {
    this.#clock.after(this.#random.integer(0, 2), () => {
      process.clock.after(0, () => this.#route(process, request));
    });
  }

  #route(process: Process, request: Request): void {
    if (!process.node.isInTouch()) return request.answer('refused');
    const route = process.node.routeOf(slotOf('n', request.key));
    if (route.kind === 'hold') {
      process.clock.after(20, () => this.#route(process, request));
      return;
    }
    if (route.kind === 'forward' && request.hops < hopsMax) {
      const next = this.#cluster.at(route.node);
      if (next !== undefined) this.#deliver(next, { ...request, hops: request.hops + 1 });
      return;
    }
    const { memory } = process.contents;
    if (route.kind !== 'serve' || !process.node.mayServe() || memory === undefined)
      return request.answer('refused');
    void this.#serve(process, memory, request).catch((error: unknown) => this.#failures.push(error));
  }

  async #serve(process: Process, memory: Memory, request: Request): Promise<void> {
    const { key, action } = request;
    const { namespace, tier } = memory;
    const { contents, node, clock } = process;
    const isOwner = () => node.mayServe() && contents.memory === memory;
    let isGone = false;
    let found: Answer = 'refused';
    const startedMs = clock.monotonicMs();
    contents.noteKeys('n', [key]);
    const decided = await decideTiered({
      tier,
      reads: action === 'set' ? [] : [key],
      startedMs,
      owns: () => {
        isGone = node.routeOf(slotOf('n', key)).kind !== 'serve';
        if (!isGone) contents.noteKeys('n', [key]);
        return !isGone && isOwner();
      },
      isOwner,
      decide: () => {
        const nowMs = clock.monotonicMs();
        if (action === 'set') namespace.set(setOf(key, request.value), nowMs);
        if (action === 'delete') namespace.delete(key, nowMs);
        const value = action === 'get' ? valueOf(namespace.get(key, nowMs)) : request.value;
        found = { hit: value !== undefined, value: Number(value ?? 0) };
        return reply;
      },
    });
    if (isGone) return this.#route(process, request);
    request.answer(decided === reply ? found : 'refused');
  }

  /** The end of all faults: everything is served again, by Redis, and nothing is noted. */
  async #comeToRest(): Promise<void> {
    this.#redis.setWeather('fine');
    this.#cluster.weather = calm;
    for (const process of this.#cluster.processes) this.#cluster.wake(process);
    for (let ms = 0; ms < 30_000; ms += 50) await this.#advance(50);
    for (const process of this.#running()) {
      assert.equal(process.contents.memory?.tier.isDegraded, false, `${process.name} stands in for ever`);
      assert.equal(this.#notes.get(process.name)?.outage, false, `the outage of ${process.name} has no end`);
    }
    const before = { ...this.#callers.counts };
    for (let n = 0; n < 50; n += 1) {
      this.#callers.ask();
      await this.#advance(100);
    }
    assert.equal(
      this.#callers.counts.refused + this.#callers.counts.unheard,
      before.refused + before.unheard,
      'not all is answered',
    );
  }
}
