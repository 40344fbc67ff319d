import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { partitionKeys } from '#services/queue-broker/redis-scripts.ts';
import { freePort } from '#tests/support/free-port.ts';
import { type RunningRedisServer, startRedisServer } from '#tests/support/redis-server.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { endure, expectNothingLost, moments, printedSeed } from './endurance.ts';
import { logStates } from './long-run.ts';
import { type Reply, type RunningQueue, leased, partitions, replyOf, startQueue } from './running-queue.ts';

let redis: RunningRedisServer;
let queue: RunningQueue;
let broker: ServiceProcess;

const start = async (persistent: boolean) => {
  redis = await startRedisServer({ persistent });
  queue = await startQueue({ env: { TRIVET_QUEUE_STORE: 'redis', TRIVET_REDIS_URL: redis.url } });
  broker = await queue.startBroker('broker-a');
};

afterEach(async () => {
  await queue?.stop();
  await redis?.stop();
});

const everyPartition = Array.from({ length: partitions }, (_, partition) =>
  partitionKeys('trivet', partition),
);

/** What Redis holds of each partition: by which epoch, up to which record, and how many items. */
const stored = () =>
  Promise.all(
    everyPartition.map(async ({ state, tables }) => {
      const [writer, epoch, sequence] = (await redis.ask('HMGET', state, 'writer', 'epoch', 'sequence')) as (
        string | null
      )[];
      return {
        writer,
        epoch: Number(epoch),
        sequence: Number(sequence),
        items: Number(await redis.ask('HLEN', tables.items)),
      };
    }),
  );

const itemsInRedis = async () => (await stored()).reduce((sum, { items }) => sum + items, 0);

/** Asks until a broker answers: one that sleeps is given some of the requests, too. */
async function answered(subject: string, body: string): Promise<Reply> {
  for (;;) {
    const reply = await queue.client
      .request(subject, body, { timeout: 1_000 })
      .then(replyOf, () => undefined);
    if (reply?.status === 0) return reply;
    await delay(50);
  }
}

/** Items that the broker knows, in whatever state. */
async function itemsInBroker(): Promise<number> {
  const { body } = await answered('trivet.queue.stats', '');
  const { queues } = body as { queues: { counts: Record<string, number> }[] };
  return queues.reduce(
    (sum, { counts }) => sum + Object.values(counts).reduce((all, one) => all + one, 0),
    0,
  );
}

/** Redis has caught up: within a commit or two of the last change. */
const redisHolds = async (items: number) =>
  expect.poll(itemsInRedis, { timeout: 20_000, interval: 100 }).toBe(items);

const enqueueSome = async (queues: readonly string[], each: number) => {
  for (const name of queues) {
    const items = Array.from({ length: each }, (_, index) => ({ payload: { n: index }, key: `k${index}` }));
    await answered(`trivet.queue.${name}.enqueue-many`, JSON.stringify({ items }));
  }
};

const names = ['mail', 'images', 'reports', 'billing', 'search', 'audit'];

test('a broker without its Redis does not start, and says which setting is meant', async () => {
  queue = await startQueue();
  const port = await freePort();
  const url = `redis://user:secret@127.0.0.1:${port}`;
  const refused = queue.startBroker('broker-a', { TRIVET_QUEUE_STORE: 'redis', TRIVET_REDIS_URL: url });
  const said = await refused.then(String, String);
  expect(said).toContain('ended with 3 before it served');
  expect(said).toMatch(
    new RegExp(`there is no Redis at TRIVET_REDIS_URL \\(redis://127.0.0.1:${port}\\).*ECONNREFUSED`),
  );
  expect(said).not.toContain('secret');
});

test.each([
  ['http://127.0.0.1:6379', 'TRIVET_REDIS_URL must be a URL that begins with redis:// or rediss://'],
  ['redis://', 'TRIVET_REDIS_URL must be a URL that begins with redis:// or rediss://'],
])('a broker refuses %s as the address of its Redis', async (url, problem) => {
  queue = await startQueue();
  const refused = queue.startBroker('broker-a', { TRIVET_QUEUE_STORE: 'redis', TRIVET_REDIS_URL: url });
  const said = await refused.then(String, String);
  expect(said).toContain('ended with 2 before it served');
  expect(said).toContain(problem);
});

test('a broker refuses a Redis that evicts rows', async () => {
  redis = await startRedisServer({ args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
  queue = await startQueue();
  const refused = queue.startBroker('broker-a', { TRIVET_QUEUE_STORE: 'redis', TRIVET_REDIS_URL: redis.url });
  const said = await refused.then(String, String);
  expect(said).toContain('ended with 3 before it served');
  expect(said).toMatch(/TRIVET_REDIS_URL.*maxmemory-policy allkeys-lru/);
});

describe('with a Redis that keeps its data', () => {
  beforeEach(() => start(true));

  test('an item goes its way from enqueue over a restart to its end', async () => {
    const payload = 'large '.repeat(10_000);
    await queue.ask('mail', 'enqueue', payload, { 'Nats-Msg-Id': 'once' });
    expect(await broker.stop()).toBe(0);
    expect(await itemsInRedis()).toBe(1);
    broker = await queue.startBroker('broker-a');
    const [item] = leased(await queue.ask('mail', 'dequeue', { lease: '1m' }));
    expect([item?.payload, item?.attempt]).toEqual([payload, 1]);
    expect(await broker.stop()).toBe(0);
    // Another broker, another folder: what it knows is Redis's.
    broker = await queue.startBroker('broker-b');
    const again = await queue.ask('mail', 'enqueue', payload, { 'Nats-Msg-Id': 'once' });
    expect(again.body).toMatchObject({ id: item?.id, duplicate: true });
    const done = await queue.ask('mail', 'complete', {
      id: item?.id,
      token: item?.token,
      result: { ok: true },
    });
    expect(done.body).toEqual({ id: item?.id, state: 'done' });
    const shown = await queue.ask('mail', 'get', { id: item?.id });
    expect(shown.body).toMatchObject({ state: 'done', result: { ok: true } });
  });

  test('nothing is replayed that Redis holds: a broker that ended in order leaves it complete', async () => {
    await enqueueSome(names, 200);
    expect(await broker.stop()).toBe(0);
    const before = await stored();
    expect(before.reduce((sum, { items }) => sum + items, 0)).toBe(1_200);
    broker = await queue.startBroker('broker-b');
    const after = await stored();
    for (const [partition, { epoch, sequence, writer }] of after.entries()) {
      expect(writer).not.toBe(before[partition]?.writer);
      expect([epoch, sequence]).toEqual([before[partition]?.epoch, before[partition]?.sequence]);
    }
    expect(await itemsInBroker()).toBe(1_200);
  });

  test('nothing is lost when the broker is killed', { timeout: 120_000 }, async () => {
    const items = 4_000;
    const kill = async () => {
      await broker.kill();
      broker = await queue.startBroker('broker-a');
    };
    const blows = moments(3, printedSeed()).map((at) => ({ at, fall: kill }));
    const endured = await endure({ queue, items, blows });
    expect(await broker.stop()).toBe(0);
    expectNothingLost(endured, items);
    expect(await itemsInRedis()).toBe(items);
  });

  test(
    'nothing is lost when Redis stands still, is killed, and comes back',
    { timeout: 120_000 },
    async () => {
      const items = 4_000;
      const freeze = async () => {
        process.kill(redis.pid, 'SIGSTOP');
        // It is served all the while: this is answered by a broker that cannot write its rows.
        for (let n = 0; n < 40; n += 1) {
          expect((await queue.ask('meanwhile', 'enqueue', n)).status).toBe(0);
          await delay(100);
        }
        process.kill(redis.pid, 'SIGCONT');
      };
      const blows = [
        { at: 0.25, fall: freeze },
        { at: 0.6, fall: () => redis.restart() },
      ];
      const { audit } = await endure({ queue, items, blows });
      expect(audit.faults).toEqual([]);
      expect(audit.items.size).toBe(items + 40);
      await redisHolds(items + 40);
      expect(broker.output()).not.toContain('gives the partitions up');
      expect(await broker.stop()).toBe(0);
      broker = await queue.startBroker('broker-b');
      expect(await itemsInBroker()).toBe(items + 40);
    },
  );

  test('a broker ends in order while Redis is away, and the next one has everything', async () => {
    await enqueueSome(names, 50);
    await redis.kill();
    await enqueueSome(['later'], 50);
    expect(await broker.stop()).toBe(0);
    await redis.restart();
    broker = await queue.startBroker('broker-a');
    expect(await itemsInBroker()).toBe(350);
    await redisHolds(350);
  });

  test('an owner that slept past its lease leaves what the next one wrote', { timeout: 60_000 }, async () => {
    const standIn = await queue.startBroker('broker-b');
    await enqueueSome(names, 100);
    const owns = (one: ServiceProcess) => one.output().includes('owns the partitions');
    // Asleep with changes that it has not stored yet: they are the first thing that it wants to do when it wakes.
    for (let n = 0; n < 200; n += 1) queue.client.publish(`trivet.queue.${names[n % 6]}.enqueue`, String(n));
    await queue.client.flush();
    process.kill(broker.pid, 'SIGSTOP');
    await expect.poll(() => owns(standIn), { timeout: 20_000 }).toBe(true);
    await enqueueSome(['after'], 100);
    const known = await itemsInBroker();
    await redisHolds(known);
    const before = await stored();
    process.kill(broker.pid, 'SIGCONT');
    await expect.poll(() => broker.output(), { timeout: 10_000 }).toContain('gives the partitions up');
    await enqueueSome(['awake'], 1);
    expect(await broker.stop()).toBe(0);
    const after = await stored();
    for (const [partition, { writer, epoch, sequence }] of before.entries()) {
      expect(after[partition]?.writer).toBe(writer);
      // A partition that had nothing to store when it was taken says its new epoch with the first thing that it has.
      expect(after[partition]?.epoch).toBeGreaterThanOrEqual(epoch);
      expect(after[partition]?.sequence).toBeGreaterThanOrEqual(sequence);
    }
    const all = await itemsInBroker();
    await redisHolds(all);
    expect(await standIn.stop()).toBe(0);
    // What the log adds up to without Redis is what Redis holds.
    const inRedis = await allRows();
    await redis.ask('FLUSHALL');
    const rebuilt = await queue.startBroker('broker-c');
    expect(await itemsInBroker()).toBe(all);
    expect(await rebuilt.stop()).toBe(0);
    expect(await allRows()).toEqual(inRedis);
  });
});

describe('with a Redis that forgets', () => {
  beforeEach(() => start(false));

  test('a table that was emptied while no broker ran is rebuilt from the log', async () => {
    await enqueueSome(names, 100);
    const taken = leased(await queue.ask('mail', 'dequeue', { max: 10, lease: '1m' }));
    expect(await broker.stop()).toBe(0);
    const before = await allRows();
    await redis.ask('FLUSHALL');
    broker = await queue.startBroker('broker-a');
    const items = taken.map(({ id, token }) => ({ id, token }));
    const done = await queue.ask('mail', 'complete', { items });
    expect((done.body as { items: { state: string }[] }).items.map(({ state }) => state)).toEqual(
      items.map(() => 'done'),
    );
    expect(await itemsInBroker()).toBe(600);
    await redisHolds(600);
    expect(Object.keys(await allRows())).toEqual(Object.keys(before));
  });

  test('where the log is truncated, a table that was emptied is rebuilt from the snapshot', async () => {
    await enqueueSome(names, 100);
    await compact();
    const begins = (await logStates(queue)).map(({ firstSequence }) => firstSequence);
    expect(Math.max(...begins)).toBeGreaterThan(1);
    await enqueueSome(['later'], 10);
    expect(await broker.stop()).toBe(0);
    const before = await allRows();
    await redis.ask('FLUSHALL');
    broker = await queue.startBroker('broker-a');
    expect(broker.output()).toContain('the snapshot was loaded');
    expect(await itemsInBroker()).toBe(610);
    expect(await broker.stop()).toBe(0);
    expect(await allRows()).toEqual(before);
  });

  test('a table that is emptied while the broker runs is written again', { timeout: 120_000 }, async () => {
    const items = 4_000;
    const flush = async () => {
      await redis.ask('FLUSHALL');
    };
    const blows = moments(4, printedSeed()).map((at) => ({ at, fall: flush }));
    expectNothingLost(await endure({ queue, items, blows }), items);
    await enqueueSome(names, 1);
    await redisHolds(items + names.length);
    expect(broker.output()).not.toContain('gives the partitions up');
    await broker.kill();
    broker = await queue.startBroker('broker-b');
    expect(await itemsInBroker()).toBe(items + names.length);
  });

  test('nothing is lost when broker and Redis are killed by turns', { timeout: 120_000 }, async () => {
    const items = 4_000;
    const restart = async () => {
      await redis.restart();
    };
    const both = async () => {
      await Promise.all([broker.kill(), redis.kill()]);
      await redis.restart();
      broker = await queue.startBroker('broker-a');
    };
    const [first = 0, second = 0, third = 0] = moments(3, printedSeed());
    const blows = [
      { at: first, fall: restart },
      { at: second, fall: both },
      { at: third, fall: restart },
    ];
    expectNothingLost(await endure({ queue, items, blows }), items);
  });
});

/** Snapshots every table and truncates the logs; services alone may ask for it. */
async function compact(): Promise<void> {
  const { url, user, password } = queue.server;
  const service = await connect({ servers: url, user, pass: password, inboxPrefix: '_INBOX_TRIVET' });
  const reply = await service.request('trivet.queue-admin.compact', '', { timeout: 20_000 });
  expect(replyOf(reply).body).toEqual({ compacted: true });
  await service.close();
}

/** Every row of every partition, as texts. */
async function allRows(): Promise<Record<string, string>> {
  const rows: Record<string, string> = {};
  for (const { tables } of everyPartition) {
    for (const key of Object.values(tables)) {
      const list = (await redis.ask('HGETALL', key)) as string[];
      for (let at = 0; at < list.length; at += 2) rows[`${key} ${list[at]}`] = list[at + 1] ?? '';
    }
  }
  return Object.fromEntries(Object.entries(rows).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
