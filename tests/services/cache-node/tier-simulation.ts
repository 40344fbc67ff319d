import { vi } from 'vitest';
import { MemoryBackendPlace } from '#services/cache-node/memory-backend.ts';
import type { TierState } from '#services/cache-node/tier-options.ts';
import { Tier } from '#services/cache-node/tier.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import {
  FaultyBackend,
  type FaultyPlace,
  MemoryTierRecord,
  type Weather,
  setWeather,
} from './faulty-backend.ts';
import { VirtualFront } from './virtual-front.ts';

// A node with little memory over a backend with weather, from one seed. Vitest's timers stand for the clock, since the
// circuit breaker reads the system's.

const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
export const deadlineMs = 250;
const stepsPerRun = 150;

/** What a key may have: the last that was answered, and all that was decided since and not answered (yet). */
interface Truth {
  answered: number | undefined;
  open: { readonly value: number | undefined }[];
}

export interface Simulated {
  readonly calls: number;
  readonly misses: number;
  readonly outages: number;
  readonly crashes: number;
}

/** One life of a namespace. Throws when a call is late, or sees what was overwritten or deleted before. */
export async function simulateTier(seed: number, weather: 'any' | 'fine' = 'any'): Promise<Simulated> {
  const world = new World(seed, weather === 'any' ? 0.04 : 0);
  await world.run();
  return world.sum;
}

class World {
  readonly sum = { calls: 0, misses: 0, outages: 0, crashes: 0 };
  readonly #changes: number;
  readonly #random: SeededRandom;
  readonly #place: FaultyPlace;
  readonly #record = new MemoryTierRecord(systemClock);
  readonly #truth = new Map<string, Truth>(keys.map((key) => [key, { answered: undefined, open: [] }]));
  readonly #faults: unknown[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #version = 1_000;
  #value = 0;
  #life = 0;
  #front!: VirtualFront;
  #tier!: Tier;

  constructor(seed: number, changes: number) {
    this.#changes = changes;
    const place = new MemoryBackendPlace();
    this.#place = { place, weather: 'fine', received: [], isPrompt: changes === 0 };
    this.#random = new SeededRandom(seed);
    this.#begin();
  }

  async run(): Promise<void> {
    for (let step = 0; step < stepsPerRun; step += 1) {
      const callers = this.#random.integer(0, 3);
      for (let caller = 0; caller < callers; caller += 1) this.#call();
      if (this.#random.chance(this.#changes)) this.#changeWeather();
      if (this.#random.chance(0.01)) this.#crash();
      // More keys come to this process: the backend is taken again, and some are cleared at that very moment.
      if (this.#random.chance(0.03)) {
        this.#tier.regain();
        if (this.#random.chance(0.5)) this.#call('', 'clear now');
      }
      await vi.advanceTimersByTimeAsync(this.#random.integer(0, 60));
      if (this.#faults.length > 0) throw this.#faults[0];
    }
    await this.#settle();
    this.#crash();
    for (const key of keys) this.#call(key, 'get');
    await vi.advanceTimersByTimeAsync(1_000);
    if (this.#faults.length > 0) throw this.#faults[0];
  }

  /** When the weather is fine again, everything is as if there had been no other. */
  async #settle(): Promise<void> {
    this.#record.isDown = false;
    setWeather(this.#place, 'fine');
    await vi.advanceTimersByTimeAsync(10_000);
    if (this.#tier.isDegraded) throw new Error('the backend was fine for ten seconds, and is not used');
    if (this.#underWay.size > 0) throw new Error('a call was never answered');
    if (this.#record.notes.get('n')?.outage !== false)
      throw new Error('an outage that is over is still noted');
  }

  #begin(): void {
    this.#life += 1;
    // The next node of a cluster counts its versions on from the last one's.
    this.#version += 1_000;
    this.#front = new VirtualFront({
      entriesMax: 4,
      note: (change) => tier.note(change),
      nextVersion: () => (this.#version += 1),
    });
    const tier = new Tier({
      namespace: 'n',
      node: 'node-1',
      backend: new FaultyBackend(this.#place, this.#random, systemClock),
      isOwn: false,
      front: this.#front,
      clock: systemClock,
      nowMs: () => systemClock.nowMs(),
      versions: {
        next: () => (this.#version += 1),
        raise: (version) => (this.#version = Math.max(this.#version, version)),
      },
      isMine: () => true,
      quota: () => ({ entriesMax: Infinity, bytesMax: Infinity }),
      record: this.#record,
      bornMs: () => 1,
      since: 0,
      copies: false,
      deadlineMs,
      changed: (state: TierState) => {
        if (state.degraded) this.sum.outages += 1;
      },
    });
    this.#tier = tier;
  }

  /** The process ends as it is. What it had sent may still arrive. */
  #crash(): void {
    this.sum.crashes += 1;
    void this.#tier.abandon();
    this.#begin();
  }

  #changeWeather(): void {
    const weathers: readonly Weather[] = ['fine', 'fine', 'refusing', 'frozen', 'forgetful'];
    setWeather(this.#place, this.#random.pick(weathers));
    this.#record.isDown = this.#random.chance(0.2);
  }

  #call(
    key = this.#random.pick(keys),
    kind = this.#random.pick(['get', 'get', 'set', 'set', 'delete', 'add', 'tag', 'clear']),
  ): void {
    this.sum.calls += 1;
    const isAll = kind === 'clear' || kind === 'clear now' || kind === 'tag';
    if (isAll && kind !== 'clear now' && !this.#random.chance(0.2)) return;
    const call = this.#answer(isAll ? '' : key, kind)
      .catch((error: unknown) => void this.#faults.push(error))
      .finally(() => this.#underWay.delete(call));
    this.#underWay.add(call);
  }

  async #answer(key: string, kind: string): Promise<void> {
    const tier = this.#tier;
    const life = this.#life;
    const startedMs = systemClock.monotonicMs();
    const untilMs = tier.untilMs(startedMs);
    // What is written whatever is there need not be known.
    const needed = kind === 'set' || key === '' ? [] : [key];
    // What concerns a whole namespace does not ask first.
    const prepare = () => (kind === 'clear now' ? undefined : tier.prepare(needed, untilMs));
    for (let wait = prepare(); wait !== undefined; wait = prepare()) await wait;
    if (life !== this.#life) return;
    tier.deciding(untilMs);
    const decided = this.#decide(key, kind);
    const { refusal } = (await tier.decided()) ?? {};
    const tookMs = systemClock.monotonicMs() - startedMs;
    if (life !== this.#life) return;
    if (tookMs > deadlineMs + 50) throw new Error(`${kind} took ${tookMs} ms`);
    if (refusal !== undefined) return;
    for (const [changed, change] of decided) this.#answered(changed, change);
  }

  #decide(key: string, kind: string): readonly (readonly [string, Truth['open'][number]])[] {
    if (kind === 'clear' || kind === 'clear now') {
      this.#front.clear();
      return keys.map((one) => [one, this.#decided(one, undefined)] as const);
    }
    if (kind === 'tag') {
      this.#front.invalidate('all');
      return keys.map((one) => [one, this.#decided(one, undefined)] as const);
    }
    const seen = this.#front.get(key);
    if (kind !== 'set') this.#check(key, seen);
    if (kind === 'get') return [];
    if (kind === 'delete') {
      this.#front.delete(key);
      return seen === undefined ? [] : [[key, this.#decided(key, undefined)]];
    }
    const value = kind === 'add' ? (seen ?? 0) + 1_000_000 : (this.#value += 1);
    this.#front.set(key, value, ['all']);
    return [[key, this.#decided(key, value)]];
  }

  #check(key: string, seen: number | undefined): void {
    const truth = this.#truthOf(key);
    if (seen === undefined) {
      const isOpen = truth.open.some(({ value }) => value === undefined);
      if (truth.answered !== undefined && !isOpen) this.sum.misses += 1;
      return;
    }
    if (seen === truth.answered || truth.open.some(({ value }) => value === seen)) return;
    const may = [truth.answered, ...truth.open.map(({ value }) => value)].map(String).join(' or ');
    throw new Error(`${key} has ${seen}, and may have ${may}`);
  }

  #decided(key: string, value: number | undefined) {
    const change = { value };
    this.#truthOf(key).open.push(change);
    return change;
  }

  /** From now on nobody sees anything older. */
  #answered(key: string, change: { readonly value: number | undefined }): void {
    const truth = this.#truthOf(key);
    const at = truth.open.indexOf(change);
    if (at < 0) return;
    truth.answered = change.value;
    truth.open = truth.open.slice(at + 1);
  }

  #truthOf(key: string): Truth {
    const truth = this.#truth.get(key);
    if (truth === undefined) throw new Error(`no such key: ${key}`);
    return truth;
  }
}
