import assert from 'node:assert/strict';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { Namespaces } from '#services/cache-node/core/namespaces.ts';
import { NodeContents } from '#services/cache-node/slot-contents.ts';
import type { TierNote, TierRecord } from '#services/cache-node/tier-record.ts';
import { Tier } from '#services/cache-node/tier.ts';
import { slotOf } from '#shared/protocol/cache-slots.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { type ProcessClock, VirtualClock } from '#tests/support/virtual-clock.ts';
import { VirtualCallers } from './virtual-callers.ts';
import { VirtualCluster, type VirtualProcess, type Weather } from './virtual-cluster.ts';
import { VirtualRedis, VirtualRedisBackend } from './virtual-redis.ts';
import { type Part, VirtualTurns } from './virtual-turns.ts';

// Cache nodes with little memory over one Redis: their real memberships, hand-overs, tiers and turns, on one virtual
// clock. Processes crash, leave, join and are frozen; Redis refuses and freezes; NATS loses all that it has, or has an
// older map again, while no node is there.

const calm: Weather = { lost: 0, doubled: 0, late: 0, lateMsMax: 1 };
const fair: Weather = { lost: 0.01, doubled: 0, late: 0.05, lateMsMax: 200 };

const deadlineMs = 250;
const patienceMs = 3_000;
/** Of which nothing is heard may still be done so long after it was sent: it waits for a slot, or for two leases. */
const lateMsMax = 6_000;
const keys = Array.from({ length: 24 }, (_, n) => `n/key-${n}`);

export interface TieredRun {
  readonly answered: number;
  readonly hits: number;
  readonly outages: number;
  readonly refused: number;
  readonly unheard: number;
  /** How often NATS lost what it had, or went back. */
  readonly losses: number;
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
      bornMs: () => process.node.map.bornMs,
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

  partOf(): Part | undefined {
    return this.memory;
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
  readonly counts = { outages: 0, losses: 0 };
  readonly #callers: VirtualCallers;
  readonly #turns: VirtualTurns<TieredContents>;
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #cluster: VirtualCluster<TieredContents>;
  readonly #redis = new VirtualRedis();
  readonly #notes = new Map<string, TierNote>();
  readonly #setNow: (nowMs: number) => void;
  readonly #failures: unknown[] = [];
  readonly #latencyMsMax: number;
  #names = 0;
  /** A copy of the map from some time. */
  #copy: unknown;

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
      send: (request) => this.#turns.send(request),
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
    this.#turns = new VirtualTurns({
      clock: this.#clock,
      random: this.#random,
      cluster: this.#cluster,
      failed: (error) => this.#failures.push(error),
    });
  }

  async run(): Promise<TieredRun> {
    for (let n = 0; n < 2; n += 1) this.#start();
    for (let step = 0; step < 80; step += 1) {
      if (this.#random.chance(0.15)) this.#strike();
      if (this.#random.chance(0.03)) this.#copy = this.#cluster.bucket.read('map').value;
      if (this.#random.chance(0.015)) await this.#loseData();
      if (this.#random.chance(0.1))
        this.#redis.setWeather(this.#random.pick(['fine', 'fine', 'fine', 'frozen', 'refusing']));
      await this.#ask(this.#random.integer(50, 600));
    }
    await this.#comeToRest();
    return { ...this.counts, ...this.#callers.counts };
  }

  async #ask(msMax: number): Promise<void> {
    for (let ms = msMax; ms > 0; ms -= 10) {
      for (let n = 0; n < 3; n += 1) this.#callers.ask();
      await this.#advance(10);
    }
  }

  backendOf(process: Process): VirtualRedisBackend {
    return new VirtualRedisBackend({
      redis: this.#redis,
      world: this.#clock,
      process: process.clock,
      random: this.#random,
      latencyMsMax: this.#latencyMsMax,
      slotOf: (key) => slotOf('n', key),
      bornMs: () => process.node.map.bornMs,
      slots: () => process.node.tenures(),
      outdo: (version) => process.node.outdo(version),
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

  /** All nodes go, those that are frozen as well, and find another bucket when they come back. */
  async #loseData(): Promise<void> {
    const { random } = this;
    if (random.chance(0.5)) {
      // What is not in Redis then was noted in what is lost.
      this.#redis.setWeather('refusing');
      await this.#ask(2_000);
    }
    const former = this.#cluster.processes.filter(({ state }) => state !== 'ended');
    for (const process of former) this.#cluster.crash(process);
    // Longer than clocks differ: a cluster that begins later says so by its clock.
    for (let ms = 0; ms < 180_000; ms += 1_000) await this.#advance(1_000);
    if (this.#copy !== undefined && random.chance(0.5)) this.#cluster.bucket.restore('map', this.#copy);
    else {
      this.#cluster.bucket.lose();
      this.#notes.clear();
      this.#copy = undefined;
    }
    this.counts.losses += 1;
    for (const { name } of former) this.#start(name);
  }

  get random(): SeededRandom {
    return this.#random;
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
