import {
  type Applied,
  type Backend,
  type BackendPage,
  type Batch,
  type Claim,
  type Taken,
  TakenError,
} from '#services/cache-node/backend.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import type { ProcessClock, VirtualClock } from '#tests/support/virtual-clock.ts';

/** One Redis for the processes of a virtual cluster: what it is sent it carries out, also when nobody waits any more. */
export class VirtualRedis {
  readonly rows = new Map<string, { readonly bytes: Buffer; readonly stamp: number }>();
  /** By slot: who writes it, and a version from when he began to hold it. */
  readonly writers = new Map<number, { readonly who: VirtualRedisBackend; readonly since: number }>();
  readonly sequences = new Map<VirtualRedisBackend, number>();
  readonly tags = new Map<string, number>();
  floor = 0;
  stamp = 0;
  bornMs = 0;
  #weather: 'fine' | 'refusing' | 'frozen' = 'fine';
  #received: (() => void)[] = [];

  setWeather(weather: 'fine' | 'refusing' | 'frozen'): void {
    this.#weather = weather;
    if (weather === 'frozen') return;
    for (const carryOut of this.#received.splice(0)) carryOut();
  }

  receive(carryOut: (isRefused: boolean) => void): void {
    if (this.#weather === 'frozen') this.#received.push(() => carryOut(this.#weather === 'refusing'));
    else carryOut(this.#weather === 'refusing');
  }
}

export interface VirtualRedisBackendOptions {
  readonly redis: VirtualRedis;
  readonly world: VirtualClock;
  readonly process: ProcessClock;
  readonly random: SeededRandom;
  /** How long a message takes at most, in milliseconds. */
  readonly latencyMsMax: number;
  readonly slotOf: (key: string) => number;
  readonly bornMs: () => number;
  readonly slots: () => ReadonlyMap<number, number>;
  readonly outdo: (version: number) => boolean;
  readonly mayWrite: () => boolean;
}

/** What `RedisBackend` does, in one part: tokens by slot, numbered batches, a floor that each process knows from its last claim. */
export class VirtualRedisBackend implements Backend {
  readonly #options: VirtualRedisBackendOptions;
  #floor = 0;
  #sequence = 0;
  /** One connection: what was sent first arrives first, either way. */
  #arrivesMs = 0;
  #answeredMs = 0;

  constructor(options: VirtualRedisBackendOptions) {
    this.#options = options;
  }

  async take(claim: Claim): Promise<Taken> {
    let taken = await this.#claim(claim);
    if (taken.passedBy > 0 && this.#options.outdo(taken.passedBy)) taken = await this.#claim(claim);
    if (taken.passedBy > 0) throw new TakenError('another process holds slots');
    this.#floor = taken.floor;
    return { stamp: taken.stamp, tags: taken.tags, lost: false, figures: undefined };
  }

  #claim({ since }: Claim) {
    const { redis, bornMs } = this.#options;
    this.#assertMayWrite();
    const slots = this.#options.slots();
    const born = bornMs();
    return this.#send(() => {
      if (born > 0 && born < redis.bornMs) throw new TakenError('a later cluster writes here');
      const isLater = born > redis.bornMs;
      redis.bornMs = Math.max(redis.bornMs, born);
      if (isLater) {
        redis.writers.clear();
        redis.tags.clear();
      }
      redis.floor = Math.max(redis.floor, since, isLater ? redis.stamp : 0);
      let passedBy = 0;
      for (const [slot, held] of slots) {
        const holder = redis.writers.get(slot)?.since ?? 0;
        if (held < holder) passedBy = Math.max(passedBy, holder);
        else redis.writers.set(slot, { who: this, since: held });
      }
      const { floor, stamp, tags } = redis;
      return { floor, stamp: Math.max(stamp, floor), tags: new Map(tags), passedBy };
    });
  }

  fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    const { redis } = this.#options;
    return this.#send(() =>
      keys.map((key) => {
        const row = redis.rows.get(key);
        return row !== undefined && row.stamp > this.#floor ? row.bytes : undefined;
      }),
    );
  }

  async apply(batch: Batch): Promise<Applied> {
    const { redis, slotOf } = this.#options;
    this.#assertMayWrite();
    this.#sequence += 1;
    const sequence = this.#sequence;
    await this.#send(() => {
      for (const key of batch.rows.keys())
        if (redis.writers.get(slotOf(key))?.who !== this)
          throw new TakenError(`another process writes ${key}`);
      if (sequence <= (redis.sequences.get(this) ?? 0)) throw new Error('late');
      redis.sequences.set(this, sequence);
      if (batch.clears) {
        redis.floor = Math.max(redis.floor, batch.stamp - 1);
        redis.tags.clear();
      }
      for (const [tag, version] of batch.tags ?? [])
        redis.tags.set(tag, Math.max(version, redis.tags.get(tag) ?? 0));
      for (const [key, row] of batch.rows) {
        if (row === null) redis.rows.delete(key);
        else redis.rows.set(key, { bytes: row.bytes, stamp: batch.stamp });
      }
      redis.stamp = Math.max(redis.stamp, batch.stamp);
    });
    if (batch.clears) this.#floor = Math.max(this.#floor, batch.stamp - 1);
    return { evicted: [], figures: undefined };
  }

  page(): Promise<BackendPage | undefined> {
    return Promise.resolve({ keys: [] });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #assertMayWrite(): void {
    if (!this.#options.mayWrite()) throw new TakenError('this process may not write just now');
  }

  #send<Value>(carryOut: () => Value): Promise<Value> {
    const { redis, world, process, random, latencyMsMax } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    const answer = (settle: () => void) => {
      this.#answeredMs = Math.max(this.#answeredMs, world.monotonicMs() + random.integer(0, latencyMsMax));
      world.after(this.#answeredMs - world.monotonicMs(), () => void process.after(0, settle));
    };
    this.#arrivesMs = Math.max(this.#arrivesMs, world.monotonicMs() + random.integer(0, latencyMsMax));
    world.after(this.#arrivesMs - world.monotonicMs(), () =>
      redis.receive((isRefused) => {
        try {
          if (isRefused) throw new Error('refused');
          const value = carryOut();
          answer(() => resolve(value));
        } catch (error) {
          answer(() => reject(error instanceof Error ? error : new Error(String(error))));
        }
      }),
    );
    return promise;
  }
}
