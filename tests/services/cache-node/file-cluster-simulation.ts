import assert from 'node:assert/strict';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { Namespaces } from '#services/cache-node/core/namespaces.ts';
import { NodeContents } from '#services/cache-node/slot-contents.ts';
import type { TierNote, TierRecord } from '#services/cache-node/tier-record.ts';
import { LateBackend } from '#services/cache-node/late-backend.ts';
import { Tier } from '#services/cache-node/tier.ts';
import { sleep } from '#shared/runtime/clock.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { type ProcessClock, VirtualClock } from '#tests/support/virtual-clock.ts';
import { type Answer, type Request, VirtualCallers } from './virtual-callers.ts';
import { VirtualCluster, type VirtualProcess, type Weather } from './virtual-cluster.ts';
import { VirtualFile, VirtualFileBackend } from './virtual-file.ts';
import { type Part, VirtualTurns, placeOf } from './virtual-turns.ts';

// Cache nodes with little memory, each before a file of its own for each namespace: their real memberships, hand-overs,
// tiers and turns, on one virtual clock. Nodes join and leave; in runs that are not healthy they crash, restart on their
// old files and are frozen as well, and disks are slow or fail.

const calm: Weather = { lost: 0, doubled: 0, late: 0, lateMsMax: 1 };
const fair: Weather = { lost: 0.01, doubled: 0, late: 0.05, lateMsMax: 200 };

const deadlineMs = 250;
const patienceMs = 3_000;
/** Of which nothing is heard may still be done so long after it was sent: it waits for a slot, or for two leases. */
const lateMsMax = 10_000;
const names = ['m', 'n'];
/** The namespace before the slash. In few slots, so that many of them are given in one go. */
const keys = Array.from({ length: 4_096 }, (_, n) => `${names[n % names.length] ?? ''}/key-${n}`)
  .filter((key) => placeOf(key).slot < 24)
  .slice(0, 48);

export interface FileRun {
  readonly answered: number;
  readonly hits: number;
  readonly outages: number;
  readonly refused: number;
  readonly unheard: number;
  /** How often all left and came back soon enough. */
  readonly returns: number;
  /** How often the map was lost. */
  readonly losses: number;
  /** Missed though their writes were answered. */
  readonly missed: number;
}

type Process = VirtualProcess<FileContents>;

export async function simulateFileCluster(
  seed: number,
  isHealthy: boolean,
  setNow: (nowMs: number) => void,
): Promise<FileRun> {
  return new Simulation(seed, isHealthy, setNow).run();
}

/** What a process has in its memory, and its tiers: made anew with each membership. */
class Memory {
  readonly namespaces: Namespaces;
  readonly parts: ReadonlyMap<string, Part>;

  constructor(world: Simulation, process: Process, since: number) {
    const { versions } = process.node;
    const options = { versions, bytesMax: 2 ** 30, epoch: 'e', random01: () => 0.5 };
    this.namespaces = new Namespaces({ ...options, hashSecret: [1, 2] });
    this.parts = new Map(names.map((name) => [name, this.#open(name, { world, process, since })]));
  }

  tierOf(namespace: Namespace): Tier | undefined {
    return this.parts.get(namespace.name)?.tier;
  }

  async close(): Promise<void> {
    await Promise.all([...this.parts.values()].map(({ tier }) => tier.close()));
  }

  abandon(): void {
    for (const { tier } of this.parts.values()) void tier.abandon();
  }

  #open(name: string, of: { world: Simulation; process: Process; since: number }): Part {
    const { world, process, since } = of;
    const opened = this.namespaces.open(name);
    if (!opened.ok) throw new Error('no namespace');
    const namespace = opened.value;
    // Little, so that most of it is in the file alone.
    namespace.configure({ entriesMax: 4 }, 0);
    const tier = new Tier({
      namespace: name,
      node: process.name,
      backend: world.backendOf(process, name),
      isOwn: true,
      front: namespace.residents,
      clock: process.clock,
      nowMs: () => process.clock.monotonicMs(),
      versions: process.node.versions,
      isMine: () => true,
      quota: () => ({ entriesMax: Infinity, bytesMax: Infinity }),
      record: world.recordOf(process),
      bornMs: () => process.node.map.bornMs,
      since,
      copies: false,
      deadlineMs,
      changed: (state) => {
        if (state.degraded) world.counts.outages += 1;
      },
    });
    namespace.noteTo((change) => tier.note(change));
    return { namespace, tier };
  }
}

class FileContents extends NodeContents {
  memory: Memory | undefined;
  /** Set at once, since a node cannot be in a map before it is made. */
  process!: Process;

  constructor(clock: ProcessClock) {
    super({
      namespaces: () => this.memory?.namespaces ?? noNamespaces(),
      clock,
      tierOf: (one) => this.memory?.tierOf(one),
      fileOf: (one) => this.memory?.tierOf(one),
      wallMs: (ms) => ms,
      dismissed: () => undefined,
      clear: () => this.forget(),
    });
  }

  partOf(namespace: string): Part | undefined {
    return this.memory?.parts.get(namespace);
  }

  forget(): void {
    this.memory?.abandon();
    this.memory = undefined;
  }

  async settle(): Promise<void> {
    await this.memory?.close();
  }
}

function noNamespaces(): Namespaces {
  const versions = { next: () => 0, raise: () => undefined };
  return new Namespaces({ versions, bytesMax: 0, epoch: '', random01: () => 0, hashSecret: [0, 0] });
}

export class Simulation {
  readonly counts = { outages: 0, returns: 0, losses: 0 };
  readonly #callers: VirtualCallers;
  readonly #turns: VirtualTurns<FileContents>;
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #cluster: VirtualCluster<FileContents>;
  readonly #files = new Map<string, VirtualFile>();
  readonly #isHealthy: boolean;
  /** That left, and may come back to their files. */
  readonly #former: string[] = [];
  readonly #notes = new Map<string, TierNote>();
  readonly #setNow: (nowMs: number) => void;
  readonly #failures: unknown[] = [];
  #names = 0;
  #areAllAway = false;
  /** What is noted of outages cannot be read or written, though the map can. */
  #areNotesAway = false;

  constructor(seed: number, isHealthy: boolean, setNow: (nowMs: number) => void) {
    this.#isHealthy = isHealthy;
    this.#random = new SeededRandom(seed);
    this.#setNow = setNow;
    this.#callers = new VirtualCallers({
      clock: this.#clock,
      random: this.#random,
      keys,
      patienceMs,
      lateMsMax,
      mayMiss: !isHealthy,
      send: (request) => this.#turns.send(request),
      failed: (error) => this.#failures.push(error),
    });
    this.#cluster = new VirtualCluster({
      clock: this.#clock,
      random: this.#random,
      weather: isHealthy || this.#random.chance(0.5) ? calm : fair,
      contentsOf: (_name, clock) => new FileContents(clock),
      watcher: {
        entered: (process, _id, filesSince) => {
          process.contents.forget();
          process.contents.memory = new Memory(this, process, filesSince);
        },
        began: () => undefined,
      },
    });
    this.#turns = new VirtualTurns({
      clock: this.#clock,
      random: this.#random,
      cluster: this.#cluster,
      failed: (error) => this.#failures.push(error),
    });
  }

  async run(): Promise<FileRun> {
    for (let n = 0; n < 2; n += 1) this.#start();
    for (let step = 0; step < 80; step += 1) {
      if (this.#random.chance(0.15)) this.#strike();
      if (!this.#isHealthy && this.#random.chance(0.1))
        for (const file of this.#files.values())
          file.weather = this.#random.pick(['fine', 'fine', 'fine', 'slow', 'failing']);
      for (let ms = this.#random.integer(50, 600); ms > 0; ms -= 10) {
        for (let n = 0; n < 4; n += 1) this.#callers.ask();
        await this.#advance(10);
      }
    }
    await this.#comeToRest();
    return { ...this.counts, ...this.#callers.counts };
  }

  /** What one process that is put out left in its file is void; it learns so while neither file nor notes are there. */
  async voidThatCannotBeNoted(): Promise<Answer> {
    const pass = async (ms: number) => {
      for (let at = 0; at < ms; at += 10) await this.#advance(10);
    };
    const ask = async (key: string, action: Request['action'], value: number): Promise<Answer> => {
      let answer: Answer = 'unheard';
      this.#turns.send({ key, action, value, hops: 0, answer: (said) => (answer = said) });
      await pass(1_000);
      return answer;
    };
    this.#cluster.weather = calm;
    this.#start('a');
    this.#start('b');
    await pass(4_000);
    const a = this.#ofName('a');
    const key = keys.find((one) => a?.node.holds(placeOf(one).slot));
    assert(a !== undefined && key !== undefined);
    await ask(key, 'set', 1);
    this.#cluster.crash(a);
    await pass(5_000);
    await ask(key, 'delete', 2);
    // It comes back, and what its file has is void.
    for (const [place, file] of this.#files) if (place.startsWith('a ')) file.weather = 'failing';
    this.#areNotesAway = true;
    this.#start('a');
    await pass(4_000);
    const all = this.#running();
    await Promise.all([...all.map((process) => this.#cluster.leave(process)), pass(20_000)]);
    for (const file of this.#files.values()) file.weather = 'fine';
    this.#areNotesAway = false;
    this.#start('a');
    this.#start('b');
    await pass(6_000);
    return ask(key, 'get', 0);
  }

  backendOf(process: Process, namespace: string): LateBackend {
    const place = `${process.name} ${namespace}`;
    const file = this.#files.get(place) ?? new VirtualFile();
    this.#files.set(place, file);
    const options = { file, process: process.clock, random: this.#random };
    return new LateBackend(() => Promise.resolve().then(() => new VirtualFileBackend(options)));
  }

  recordOf(process: Process): TierRecord {
    const ask = <Value>(act: () => Value): Promise<Value> =>
      this.#areNotesAway
        ? new Promise((_, reject) => process.clock.after(100, () => reject(new Error('no answer'))))
        : this.#cluster.onServer(process.clock, act);
    const place = (namespace: string) => `${process.name} ${namespace}`;
    return {
      read: (namespace) => ask(() => this.#notes.get(place(namespace))),
      isOutageElsewhere: () => Promise.resolve(false),
      write: (namespace, note) => ask(() => void this.#notes.set(place(namespace), note)),
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
    if (this.#areAllAway) return;
    const { random } = this;
    const running = this.#running();
    const joins = running.length < 3 && random.chance(0.3);
    if (joins) this.#start(this.#former.shift());
    // The others have to be in the map, or nobody takes what one that leaves has.
    if (running.filter(({ node }) => node.id !== undefined).length < 2) return;
    if (this.#isHealthy && running.some(({ node }) => node.id === undefined)) return;
    if (random.chance(0.2)) {
      if (!this.#isHealthy) this.#all(running);
      // A node that is there meanwhile waits for the others only for so long.
      else if (!joins) void this.#allComeBack(running);
      return;
    }
    if (!this.#isHealthy && random.chance(0.2)) return this.#loseMap();
    const victim = random.pick(running);
    const what = this.#isHealthy ? 'leave' : random.pick(['leave', 'restart', 'pause', 'pause']);
    if (what === 'leave') void this.#leave(victim);
    if (what === 'restart') {
      this.#restart(victim);
      // And once more, before it has done all that it has to do at its start.
      if (random.chance(0.5))
        this.#clock.after(random.integer(10, 700), () => this.#restart(this.#ofName(victim.name)));
    }
    if (what === 'pause') {
      this.#cluster.pause(victim);
      this.#clock.after(random.integer(100, 6_000), () => {
        this.#cluster.wake(victim);
        if (random.chance(0.3)) this.#clock.after(random.integer(10, 900), () => this.#restart(victim));
      });
    }
  }

  /** All end together, by order or by a power cut, and some of them or all come back to their files. */
  #all(running: readonly Process[]): void {
    const { random } = this;
    const isCut = random.chance(0.3);
    const withinMs = random.pick([5, 60, 600]);
    for (const process of running)
      this.#clock.after(isCut ? 0 : random.integer(0, withinMs), () => {
        if (process.state !== 'running') return;
        if (!isCut) void this.#leave(process);
        else {
          this.#cluster.crash(process);
          this.#former.push(process.name);
        }
      });
    const backMs = random.integer(withinMs, 8_000);
    for (let n = 0; n < running.length; n += 1)
      this.#clock.after(backMs + random.integer(0, random.pick([20, 5_000])), () => {
        const at = random.integer(0, Math.max(0, this.#former.length - 1));
        const [name] = this.#former.splice(at, 1);
        this.#start(name);
      });
  }

  /** All are gone, and so is the map; what was noted of their files is not. */
  #loseMap(): void {
    const { random } = this;
    for (const process of this.#cluster.processes)
      if (process.state !== 'ended') {
        this.#cluster.crash(process);
        this.#former.push(process.name);
      }
    this.#cluster.bucket.lose();
    this.counts.losses += 1;
    for (let n = random.integer(1, 3); n > 0; n -= 1)
      this.#clock.after(random.integer(0, 5_000), () => this.#start(this.#former.shift()));
  }

  /** All leave together, and come back while their slots wait for them. */
  async #allComeBack(running: readonly Process[]): Promise<void> {
    const clock = this.#clock;
    this.#areAllAway = true;
    const withinMs = this.random.pick([5, 60, 600]);
    await Promise.all(
      running.map(async (process) => {
        await sleep(clock, this.random.integer(0, withinMs));
        await this.#cluster.leave(process);
      }),
    );
    await sleep(clock, this.random.integer(0, 8_000));
    await Promise.all(
      running.map(async ({ name }) => {
        await sleep(clock, this.random.integer(0, 3_000));
        this.#start(name);
      }),
    );
    this.counts.returns += 1;
    this.#areAllAway = false;
  }

  async #leave(process: Process): Promise<void> {
    await this.#cluster.leave(process);
    this.#former.push(process.name);
  }

  #restart(process: Process | undefined): void {
    if (process === undefined || process.state === 'ended') return;
    this.#cluster.crash(process);
    this.#start(process.name);
  }

  #ofName(name: string): Process | undefined {
    return this.#running().find((process) => process.name === name);
  }

  get random(): SeededRandom {
    return this.#random;
  }

  /** The end of all faults: everything is served again, by the files, and nothing is noted. */
  async #comeToRest(): Promise<void> {
    for (const file of this.#files.values()) file.weather = 'fine';
    this.#cluster.weather = calm;
    this.#areNotesAway = false;
    for (const process of this.#cluster.processes) this.#cluster.wake(process);
    for (let ms = 0; ms < 30_000; ms += 50) await this.#advance(50);
    for (const process of this.#cluster.processes) {
      assert.notEqual(process.state, 'leaving', `${process.name} leaves for ever`);
      if (process.state !== 'running') continue;
      for (const [name, { tier }] of process.contents.memory?.parts ?? []) {
        const place = `${process.name} ${name}`;
        assert.equal(tier.isDegraded, false, `${place} stands in for ever`);
        assert.equal(this.#notes.get(place)?.outage, false, `the outage of ${place} has no end`);
      }
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
