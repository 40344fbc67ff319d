import assert from 'node:assert/strict';
import { nodeOf } from '#services/cache-node/core/node-map.ts';
import { rendezvous } from '#services/cache-node/core/rendezvous.ts';
import { cacheSlots, slotOf } from '#shared/protocol/cache-slots.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { VirtualCluster, type VirtualProcess, type Weather } from './virtual-cluster.ts';
import { VirtualContents, type VirtualEntry } from './virtual-contents.ts';

const calm: Weather = { lost: 0, doubled: 0, late: 0, lateMsMax: 1 };
/** Never so late that a lease ends of it. */
const fair: Weather = { lost: 0.01, doubled: 0.05, late: 0.1, lateMsMax: 200 };
const foul: Weather = { lost: 0.02, doubled: 0.05, late: 0.05, lateMsMax: 3_000 };

const processesMax = 5;
const hopsMax = 6;
const keys = Array.from({ length: 60 }, (_, n) => `key-${n}`);

export interface ClusterRun {
  readonly answered: number;
  readonly warm: number;
  readonly cold: number;
}

/**
 * A cluster's life from one seed: nodes join and leave, messages are lost, doubled and late, and, in half of the runs,
 * nodes crash and are paused. Throws when an assertion breaks.
 *
 * Safety: a slot is answered for by nobody but the node that began with it last; what is read is what was written
 * last, or nothing where a node was lost; without a lost node nothing is lost; a version is never given twice, and
 * grows within its slot.
 * Liveness: once the weather is calm, every slot is held by its node of the rendezvous, and every request is answered.
 */
export function simulateCluster(seed: number): Promise<ClusterRun> {
  return new Simulation(seed).run();
}

class Simulation {
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #cluster: VirtualCluster;
  /** Whether nodes are lost in this run, and with them what they hold. */
  readonly #isLossy: boolean;
  /** What must be read, by slot. */
  readonly #truth = new Map<number, Map<string, VirtualEntry>>();
  /** By process and slot: what it began with last, and has not answered for yet or answers for since. */
  readonly #tenures = new Map<VirtualProcess, Map<number, Tenure>>();
  /** By slot: the tenure in which somebody answered last. */
  readonly #answering = new Map<number, Tenure>();
  readonly #versions = new Set<number>();
  readonly #newestIn = new Map<number, number>();
  readonly #failures: unknown[] = [];
  #names = 0;
  readonly #counts = { answered: 0, warm: 0, cold: 0 };

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#isLossy = this.#random.chance(0.5);
    this.#cluster = new VirtualCluster({
      clock: this.#clock,
      random: this.#random,
      weather: this.#random.chance(0.2) ? calm : this.#isLossy ? foul : fair,
      contentsOf: () => new VirtualContents(),
      watcher: { began: (process, slots, start) => this.#began(process, slots, start) },
    });
  }

  async run(): Promise<ClusterRun> {
    const first = this.#random.integer(1, 3);
    for (let n = 0; n < first; n += 1) this.#start();
    for (let step = 0; step < 60; step += 1) {
      if (this.#random.chance(0.3)) this.#strike();
      for (let n = 0; n < 8; n += 1) this.#request();
      await this.#clock.advance(this.#random.integer(10, 600));
      this.#check();
    }
    await this.#comeToRest();
    this.#check();
    return this.#counts;
  }

  #start(): void {
    this.#cluster.start(`node-${(this.#names += 1)}`);
  }

  #running(): readonly VirtualProcess[] {
    return this.#cluster.processes.filter((process) => process.state === 'running');
  }

  #strike(): void {
    const running = this.#running();
    const { random } = this;
    const what = random.pick(
      this.#isLossy ? ['join', 'leave', 'crash', 'pause', 'restart'] : ['join', 'leave'],
    );
    const [victim] = running.length === 0 ? [] : [random.pick(running)];
    if (what === 'join' && running.length < processesMax) this.#start();
    if (victim === undefined) return;
    // In a run without losses somebody has to be there to take what is handed over.
    const others = running.filter((process) => process !== victim && process.node.id !== undefined);
    if (what === 'leave' && (this.#isLossy || others.length > 0)) void this.#cluster.leave(victim);
    if (what === 'crash') this.#cluster.crash(victim);
    if (what === 'pause') {
      this.#cluster.pause(victim);
      this.#clock.after(random.integer(100, 6_000), () => this.#cluster.wake(victim));
    }
    if (what === 'restart') {
      this.#cluster.crash(victim);
      this.#cluster.start(victim.name);
    }
  }

  get random(): SeededRandom {
    return this.#random;
  }

  /** One request at any node, which is sent on as it would be. */
  #request(done: () => void = () => undefined): void {
    const running = this.#running();
    if (running.length === 0) return;
    const key = this.#random.pick(keys);
    const action = this.#random.pick(['get', 'get', 'set', 'increment', 'delete'] as const);
    this.#hear(this.#random.pick(running), { key, slot: slotOf('n', key), action, hops: 0, done });
  }

  #hear(process: VirtualProcess, request: Request): void {
    this.#cluster.send(process.clock, () => this.#guarded(() => this.#route(process, request)));
  }

  #route(process: VirtualProcess, request: Request): void {
    const route = process.node.routeOf(request.slot);
    if (route.kind === 'hold')
      process.clock.after(20, () => this.#guarded(() => this.#route(process, request)));
    if (route.kind === 'forward' && request.hops < hopsMax) {
      const next = this.#cluster.at(route.node);
      if (next !== undefined) this.#hear(next, { ...request, hops: request.hops + 1 });
    }
    if (route.kind !== 'serve' || !process.node.mayServe()) return;
    this.#serve(process, request);
  }

  #serve(process: VirtualProcess, { key, slot, action, done }: Request): void {
    this.#answerFor(process, slot);
    const held = process.contents.at(slot);
    const truth = this.#truthOf(slot);
    assert.deepEqual(held.get(key), truth.get(key), `${action} of ${key} meets what was not written last`);
    this.#counts.answered += 1;
    if (action === 'delete') {
      held.delete(key);
      truth.delete(key);
    } else if (action !== 'get') {
      const { versions } = process.node;
      if (!versions.hasRoom) return;
      const entry = {
        value: action === 'set' ? this.#random.integer(0, 1_000) : (held.get(key)?.value ?? 0) + 1,
        version: versions.next(),
      };
      assert(!this.#versions.has(entry.version), `version ${entry.version} was given twice`);
      assert(entry.version > (this.#newestIn.get(slot) ?? 0), `versions of slot ${slot} fall`);
      this.#versions.add(entry.version);
      this.#newestIn.set(slot, entry.version);
      held.set(key, entry);
      truth.set(key, entry);
    }
    done();
  }

  #began(process: VirtualProcess, slots: readonly number[], start: 'warm' | 'cold'): void {
    this.#counts[start] += slots.length;
    const tenures = this.#tenures.get(process) ?? new Map<number, Tenure>();
    this.#tenures.set(process, tenures);
    for (const slot of slots) tenures.set(slot, { process, serial: process.node.map.serial });
  }

  /** A node may begin with a slot and never answer for it, since it lost its lease: what counts is who answers. */
  #answerFor(process: VirtualProcess, slot: number): void {
    const tenure =
      this.#tenures.get(process)?.get(slot) ?? assert.fail(`nobody gave slot ${slot} to anybody`);
    const before = this.#answering.get(slot);
    if (tenure === before) return;
    this.#answering.set(slot, tenure);
    const order = `${before?.process.name} (${before?.serial}), then ${process.name} (${tenure.serial})`;
    assert((before?.serial ?? 0) <= tenure.serial, `slot ${slot} is answered for by a former node: ${order}`);
    const held = process.contents.at(slot);
    const truth = this.#truthOf(slot);
    for (const [key, entry] of held)
      assert.deepEqual(entry, truth.get(key), `${key} came to ${process.name} as it is no more`);
    if (this.#isLossy) this.#truth.set(slot, new Map(held));
    else assert.equal(held.size, truth.size, `slot ${slot} lost something without a lost node`);
  }

  /** The end of all faults: whoever is there finds together. */
  async #comeToRest(): Promise<void> {
    this.#cluster.weather = calm;
    for (const process of this.#cluster.processes) this.#cluster.wake(process);
    if (this.#running().length === 0) this.#start();
    await this.#clock.advance(30_000);
    const running = this.#running();
    const { map } = running[0]?.node ?? assert.fail('nobody is there');
    const names = running.map((process) => process.name).sort();
    assert.deepEqual(map.nodes.map((node) => node.name).sort(), names, 'the map does not say who is there');
    assert.equal(map.from.size, 0, 'a slot never arrived');
    const targets = rendezvous(map.nodes.map((node) => node.name));
    for (let slot = 0; slot < cacheSlots; slot += 1) {
      const node = nodeOf(map, map.owners[slot]);
      assert.equal(node?.name, map.nodes[targets[slot] ?? 0]?.name, `slot ${slot} is not where it belongs`);
    }
    let answers = 0;
    for (let n = 0; n < 50; n += 1) this.#request(() => (answers += 1));
    await this.#clock.advance(1_000);
    assert.equal(answers, 50, 'a request is not answered although nothing fails');
  }

  #truthOf(slot: number): Map<string, VirtualEntry> {
    const entries = this.#truth.get(slot) ?? new Map<string, VirtualEntry>();
    this.#truth.set(slot, entries);
    return entries;
  }

  /** What breaks within a callback would be lost in somebody's promise: it is kept, and thrown by `check`. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#failures.push(error);
    }
  }

  #check(): void {
    if (this.#failures.length > 0) throw this.#failures[0];
  }
}

/** A node's time with a slot: since it fetched it or began it. */
interface Tenure {
  readonly process: VirtualProcess;
  /** Of the map that it went by. */
  readonly serial: number;
}

interface Request {
  readonly key: string;
  readonly slot: number;
  readonly action: 'get' | 'set' | 'increment' | 'delete';
  readonly hops: number;
  readonly done: () => void;
}
