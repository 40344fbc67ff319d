import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type RunningRedisServer, startRedisServer } from '#tests/support/redis-server.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { CacheLoad } from './cache-load.ts';
import { type RunningCache, startCache } from './running-cache.ts';

/** Long for a deadline, since other work on the machine counts, too: a fifth of it is not the backend's. */
const deadlineMs = 1_000;
const leaseMs = 600;

/** The parts of a small cluster, and what can befall them. */
class Cluster {
  readonly #environment: Record<string, string>;
  readonly redis: RunningRedisServer;
  readonly cache: RunningCache;
  #node: ServiceProcess;

  constructor(redis: RunningRedisServer, cache: RunningCache, environment: Record<string, string>) {
    this.redis = redis;
    this.cache = cache;
    this.#node = cache.node;
    this.#environment = { ...natsEnvironment(cache.server), ...environment };
  }

  async restartNode(): Promise<void> {
    await this.#node.kill();
    this.#node = await startService('cache-node', this.#environment);
  }

  async freezeNode(ms: number): Promise<void> {
    process.kill(this.#node.pid, 'SIGSTOP');
    await delay(ms);
    process.kill(this.#node.pid, 'SIGCONT');
  }

  async freezeRedis(ms: number): Promise<void> {
    process.kill(this.redis.pid, 'SIGSTOP');
    await delay(ms);
    process.kill(this.redis.pid, 'SIGCONT');
  }

  async restartRedis(ms: number): Promise<void> {
    await this.redis.kill();
    await delay(ms);
    await this.redis.restart();
  }

  /** Whether all keys were answered for, again and again for longer than a lease: a node that woke up may be put out yet. */
  async isCalm(): Promise<boolean> {
    try {
      const untilMs = performance.now() + leaseMs * 2;
      while (performance.now() < untilMs) {
        const keys = Array.from({ length: 40 }, (_, at) => `k${at}`);
        const replies = await Promise.all(keys.map((key) => this.cache.ask('chaos', 'get', { key })));
        if (replies.some(({ status, degraded }) => status !== 0 || degraded)) return false;
        await delay(50);
      }
      const { body } = await this.cache.ask('chaos', 'stats');
      return (body as { degraded?: boolean }).degraded === false;
    } catch {
      return false;
    }
  }

  async stop(): Promise<void> {
    await this.#node.stop();
    await this.cache.stop();
    await this.redis.stop();
  }
}

test('Redis and cache-nodes are killed and frozen under load: nobody reads what was deleted or overwritten, nobody waits beyond the deadline', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`SEED=${seed}`);
  const random = new SeededRandom(seed);
  // A killed Redis that has lost what it had answered is noticed by the node that wrote it. Here nodes fall with it.
  const redis = await startRedisServer({ appendFsync: 'always' });
  const environment = {
    TRIVET_REDIS_URL: redis.url,
    TRIVET_CACHE_DEADLINE_MS: String(deadlineMs),
    TRIVET_CACHE_LEASE_MS: String(leaseMs),
    // Little memory, so that Redis is asked all the time.
    TRIVET_CACHE_BYTES: '1048576',
  };
  const cluster = new Cluster(redis, await startCache(environment), environment);
  expect((await cluster.cache.ask('chaos', 'configure', { backend: 'redis', entriesMax: 10 })).status).toBe(
    0,
  );
  const second = await startService('cache-node', {
    ...natsEnvironment(cluster.cache.server),
    ...environment,
    TRIVET_NAME: 'cache-node-2',
  });
  const load = await CacheLoad.begin({
    url: cluster.cache.server.url,
    namespace: 'chaos',
    random: new SeededRandom(seed + 1),
    patienceMs: deadlineMs + 500,
    // It lies before two nodes at most, for a lease at most each, before it is decided.
    lateMsMax: 2 * leaseMs + deadlineMs,
  });
  const ms = () => random.integer(800, 1_600);
  // Redis alone must not be noticed but for the header; a node may be missed until another one answers.
  const blows: readonly (readonly ['redis' | 'node', () => Promise<unknown>])[] = [
    ['redis', () => cluster.freezeRedis(ms())],
    ['redis', () => cluster.restartRedis(ms())],
    ['node', () => cluster.restartNode()],
    ['node', () => cluster.freezeNode(ms())],
    ['node', () => Promise.all([cluster.freezeRedis(ms()), cluster.restartNode()])],
    ['node', () => Promise.all([cluster.restartRedis(ms()), cluster.freezeNode(ms())])],
  ];
  try {
    const inTurn = [...blows].sort(() => random.next01() - 0.5);
    for (const [struck, fall] of inTurn) {
      await expect.poll(() => cluster.isCalm(), { timeout: 20_000 }).toBe(true);
      load.calm(deadlineMs + 50);
      await delay(300);
      if (struck === 'node') load.stormy();
      await fall();
    }
    load.stormy();
    await expect.poll(() => cluster.isCalm(), { timeout: 20_000 }).toBe(true);
  } finally {
    await load.end();
    await second.stop();
    await cluster.stop();
  }
  console.log(JSON.stringify(load.sum));
  expect(load.faults).toEqual([]);
  expect(load.sum.degraded).toBeGreaterThan(0);
  expect(load.sum.hits).toBeGreaterThan(0);
}, 120_000);
