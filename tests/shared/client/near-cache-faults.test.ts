import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Gap, NearCache, silenceMsMax } from '#shared/client/near-cache.ts';
import type { CacheEvent } from '#shared/protocol/cache-schemas.ts';

// The near cache beside one node, over a network that loses, doubles and reorders the node's events, and beside reads
// and writes that are under way meanwhile. Time is counted in steps of 100 ms.

const stepMs = 100;
const heartbeatSteps = 20;
const eventsKept = 8;

type Action =
  | { readonly kind: 'write'; readonly key: string; readonly fate: Fate }
  | { readonly kind: 'own-write'; readonly key: string; readonly fate: Fate; readonly steps: number }
  | { readonly kind: 'read'; readonly key: string; readonly steps: number }
  | { readonly kind: 'clear'; readonly fate: Fate }
  | { readonly kind: 'restart' }
  | { readonly kind: 'wait'; readonly steps: number };
type Fate = 'arrives' | 'lost' | 'doubled' | 'late';

class World {
  readonly near = new NearCache({ entriesMax: 3, ttlMs: 60_000, epochOf: () => undefined });
  nowMs = 0;
  #version = 100;
  #epoch = 1;
  #sequence = 0;
  #events: CacheEvent[] = [];
  /** What the node holds, and since when. */
  readonly values = new Map<string, { version: number; sinceMs: number }>();
  #underWay: { atMs: number; act: () => void }[] = [];
  /** Keys whose copy this process has no right to any more, whatever was lost. */
  readonly ownVersions = new Map<string, number>();

  constructor() {
    this.near.learn({ epoch: 'e1', sequence: 0 }, 0);
  }

  run(action: Action): void {
    switch (action.kind) {
      case 'write':
        this.#change(action.key, action.fate);
        break;
      case 'own-write':
        this.#ownWrite(action);
        break;
      case 'read':
        this.#read(action.key, action.steps);
        break;
      case 'clear':
        this.values.clear();
        this.#version += 1;
        this.#tell({ ...this.#head(), clear: true, version: this.#version }, action.fate);
        break;
      case 'restart':
        this.values.clear();
        this.#epoch += 1;
        this.#sequence = 0;
        this.#events = [];
        break;
      case 'wait':
        for (let step = 0; step < action.steps; step += 1) this.#step();
    }
  }

  #change(key: string, fate: Fate): void {
    this.#version += 1;
    this.values.set(key, { version: this.#version, sinceMs: this.nowMs });
    this.#tell({ ...this.#head(), keys: [key], versions: [this.#version] }, fate);
  }

  #ownWrite({ key, fate, steps }: Extract<Action, { kind: 'own-write' }>): void {
    this.near.forget(key);
    const stamp = this.near.beginRead();
    const beganMs = this.nowMs;
    // The value of an entry is its version here, and the next one is known.
    const version = this.#version + 1;
    const writing = this.near.beginWrite(key, version, beganMs);
    this.#change(key, fate);
    this.ownVersions.set(key, version);
    this.#later(steps, () => {
      this.near.endWrite(key, writing);
      this.near.keep(key, { hit: true, value: version, version }, stamp, beganMs);
    });
  }

  #read(key: string, steps: number): void {
    const stamp = this.near.beginRead();
    const beganMs = this.nowMs;
    const found = this.values.get(key);
    const reply =
      found === undefined ? { hit: false } : { hit: true, value: found.version, version: found.version };
    this.#later(steps, () => this.near.keep(key, reply, stamp, beganMs));
  }

  #head() {
    this.#sequence += 1;
    return { epoch: `e${this.#epoch}`, sequence: this.#sequence };
  }

  #tell(event: CacheEvent, fate: Fate): void {
    this.#events = [...this.#events, event].slice(-eventsKept);
    if (fate === 'lost') return;
    this.#later(fate === 'late' ? 3 : 0, () => this.#hear(event));
    if (fate === 'doubled') this.#later(lateSteps, () => this.#hear(event));
  }

  #hear(event: CacheEvent): void {
    const gap = this.near.take(event, this.nowMs);
    if (gap !== undefined) this.#later(1, () => this.#close(gap));
  }

  #close(gap: Gap): void {
    const epoch = `e${this.#epoch}`;
    const head = { epoch, sequence: this.#sequence };
    const behind = this.#events.filter((event) => event.sequence > gap.after);
    const hasAll = gap.epoch === epoch && behind.length === this.#sequence - gap.after;
    this.near.close(gap, hasAll ? { ...head, events: behind } : head, this.nowMs);
  }

  #later(steps: number, act: () => void): void {
    if (steps === 0) act();
    else this.#underWay.push({ atMs: this.nowMs + steps * stepMs, act });
  }

  #step(): void {
    this.nowMs += stepMs;
    const due = this.#underWay.filter((one) => one.atMs <= this.nowMs);
    this.#underWay = this.#underWay.filter((one) => one.atMs > this.nowMs);
    for (const { act } of due) act();
    if ((this.nowMs / stepMs) % heartbeatSteps === 0)
      this.#hear({ epoch: `e${this.#epoch}`, sequence: this.#sequence, heartbeat: true });
    this.near.prune(this.nowMs);
  }
}

const keys = ['k1', 'k2', 'k3', 'k4'];
const fate = fc.constantFrom<Fate>('arrives', 'arrives', 'lost', 'doubled', 'late');
const key = fc.constantFrom(...keys);
const steps = fc.nat({ max: 8 });
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('read' as const), key, steps }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), key, fate }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('own-write' as const), key, fate, steps }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), steps: fc.integer({ min: 1, max: 12 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), fate }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

/** Longest that anything is under way. */
const lateSteps = 5;

/** Within this after a change no copy of what was before is served: silence since the last word, however late it came. */
const boundMs = silenceMsMax + (lateSteps + 2) * stepMs;

function staleCopies(world: World): readonly string[] {
  return keys.filter((name) => {
    const copy = world.near.read(name, world.nowMs);
    const now = world.values.get(name);
    return copy !== undefined && copy.value !== now?.version;
  });
}

test('whatever is lost, doubled or late: five seconds after the last change nothing old is served', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const world = new World();
      for (const one of actions) world.run(one);
      world.run({ kind: 'wait', steps: Math.ceil(boundMs / stepMs) });
      expect(staleCopies(world)).toEqual([]);
    }),
    { numRuns: 2_000 },
  );
});

test('no copy that is served is older than five seconds, at any moment', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const world = new World();
      for (const one of actions) {
        world.run(one);
        for (const name of staleCopies(world)) {
          const now = world.values.get(name);
          if (now !== undefined) expect(world.nowMs - now.sinceMs).toBeLessThanOrEqual(boundMs);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});

test('what this process wrote is never read as it was before, whatever was lost', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const world = new World();
      for (const one of actions) {
        world.run(one);
        for (const [name, version] of world.ownVersions)
          expect(world.near.read(name, world.nowMs)?.value ?? version).toBeGreaterThanOrEqual(version);
      }
    }),
    { numRuns: 1_000 },
  );
});

test('where events only come doubled or late, no copy is given up for nothing', () => {
  const harmless = action.filter((one) => !('fate' in one && one.fate === 'lost') && one.kind !== 'restart');
  fc.assert(
    fc.property(fc.array(harmless, { maxLength: 30 }), (actions) => {
      const world = new World();
      for (const one of actions) world.run(one);
      expect(world.near.stats(world.nowMs).dropped).toBe(0);
    }),
    { numRuns: 500 },
  );
});
