import { afterAll, beforeAll, expect, test } from 'vitest';
import { nothingApplied } from '#services/queue-broker/core/applied.ts';
import { emptyChanges } from '#services/queue-broker/core/overlay.ts';
import type { StoredPosition } from '#services/queue-broker/item-store.ts';
import { FencedError } from '#services/queue-broker/partition-log.ts';
import { partitionKeys } from '#services/queue-broker/redis-scripts.ts';
import { RedisStore, type RedisStoreOptions } from '#services/queue-broker/redis-store.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import { type Redis, connectRedis } from '#shared/runtime/redis.ts';
import { type RunningRedisServer, startRedisServer } from '#tests/support/redis-server.ts';
import { madeItem } from './made-items.ts';

const silent = createLog('test', 'silent');

let server: RunningRedisServer;
let redis: Redis;
let opened = 0;

const connect = (url: string) => connectRedis({ url, connectMsMax: 5_000, clock: systemClock, log: silent });

beforeAll(async () => {
  server = await startRedisServer();
  redis = await connect(server.url);
});

afterAll(async () => {
  redis.close();
  await server.stop();
});

function optionsOf(partition: number, through: Redis = redis, more: Partial<RedisStoreOptions> = {}) {
  return {
    redis: through,
    keys: partitionKeys('trivet', partition),
    clock: systemClock,
    log: silent,
    retryMsMax: 5_000,
    hurry: new AbortController().signal,
    logIdentity: () => Promise.resolve('a log'),
    ...more,
  };
}

const at = (sequence: number): StoredPosition => ({
  applied: { ...nothingApplied, sequence, epoch: 1, at: sequence },
  logIdentity: 'a log',
});

/** Enough rows for three parts, all of them in this state of affairs. */
function large(token: number) {
  const changes = emptyChanges();
  for (let order = 1; order <= 5_000; order += 1) changes.items.set(order, madeItem({ order, token }));
  return changes;
}

const tokensOf = (store: RedisStore) => [...new Set([...store.items()].map(({ token }) => token))];

type Command = () => Promise<unknown>;

/** The same Redis, where `fate` decides what becomes of each command. */
const through = (fate: (command: Command, number: number) => Promise<unknown>): Redis => {
  let count = 0;
  return {
    isCluster: false,
    command: (key, args) => {
      count += 1;
      return fate(() => redis.command(key, args), count);
    },
    close: () => undefined,
  };
};

test('a commit that breaks off anywhere is there as a whole, or not at all', async () => {
  const outcomes = new Set<number>();
  let isDone = false;
  for (let last = 1; !isDone; last += 1) {
    opened += 1;
    const before = await RedisStore.open(optionsOf(opened));
    await before.commit(large(1), at(1));
    const gone = new AbortController();
    const dying = through((command, number) => {
      if (number <= last) return command();
      gone.abort(new Error('the process is dead'));
      return new Promise(() => undefined);
    });
    const writing = RedisStore.open(optionsOf(opened, dying, { hurry: gone.signal }));
    isDone = await writing
      .then((store) => store.commit(large(2), at(2)))
      .then(
        () => true,
        () => false,
      );
    const next = await RedisStore.open(optionsOf(opened));
    const [token, ...others] = tokensOf(next);
    expect(others, `after ${last} commands`).toEqual([]);
    expect(next.position(), `after ${last} commands`).toEqual(at(token ?? 0));
    expect([...next.items()]).toHaveLength(5_000);
    outcomes.add(token ?? 0);
    await next.commit(large(3), at(3));
    expect(tokensOf(await RedisStore.open(optionsOf(opened)))).toEqual([3]);
  }
  expect(outcomes).toEqual(new Set([1, 2]));
}, 120_000);

test('what is sent again because its answer was lost is done once', async () => {
  opened += 1;
  const lossy = through(async (command, number) => {
    const reply = await command();
    if (number % 2 === 1) throw new Error('the connection ended before the reply');
    return reply;
  });
  const store = await RedisStore.open(optionsOf(opened, lossy));
  await store.commit(large(1), at(1));
  await store.commit(large(2), at(2));
  const gone = emptyChanges();
  for (let order = 1; order <= 4_999; order += 1) gone.items.set(order, null);
  await store.commit(gone, at(3));
  const next = await RedisStore.open(optionsOf(opened));
  expect([...next.items()].map(({ order, token }) => [order, token])).toEqual([[5_000, 2]]);
  expect(next.position()).toEqual(at(3));
});

test('what lay in a dead connection and arrives late changes nothing', async () => {
  opened += 1;
  const late: Command[] = [];
  const recording = through((command) => {
    late.push(command);
    return command();
  });
  const store = await RedisStore.open(optionsOf(opened, recording));
  for (const token of [1, 2, 3]) await store.commit(large(token), at(token));
  const everything = [...late];
  for (const command of everything) await command();
  // And it has not taken the table from its owner either.
  await store.commit(emptyChanges(), at(4));
  const next = await RedisStore.open(optionsOf(opened));
  expect(tokensOf(next)).toEqual([3]);
  expect(next.position()).toEqual(at(4));
});

test('a table that another broker takes while it is read is not opened', async () => {
  opened += 1;
  const first = await RedisStore.open(optionsOf(opened));
  await first.commit(large(1), at(1));
  let other: RedisStore | undefined;
  const interrupted = through(async (command, number) => {
    const reply = await command();
    if (number !== 4) return reply;
    other = await RedisStore.open(optionsOf(opened));
    await other.commit(large(2), at(2));
    return reply;
  });
  await expect(RedisStore.open(optionsOf(opened, interrupted))).rejects.toThrow(FencedError);
  await other?.commit(emptyChanges(), at(3));
  expect(tokensOf(await RedisStore.open(optionsOf(opened)))).toEqual([2]);
});

test('an owner that must write everything again does not write over the next one', async () => {
  opened += 1;
  const former = await RedisStore.open(optionsOf(opened));
  await former.commit(large(1), at(1));
  await redis.command(undefined, ['DEL', ...optionsOf(opened).keys.all]);
  let isTaken = false;
  const slow = through(async (command, number) => {
    // After its commit was told that Redis has lost everything, and before it takes the table again.
    if (number > 5 && !isTaken) {
      isTaken = true;
      const owner = await RedisStore.open(optionsOf(opened));
      await owner.commit(large(9), at(9));
    }
    return command();
  });
  const sleeper = await RedisStore.open(optionsOf(opened, slow));
  await redis.command(undefined, ['DEL', ...optionsOf(opened).keys.all]);
  await expect(sleeper.commit(large(1), at(2)).then(() => sleeper.commit(large(1), at(3)))).rejects.toThrow(
    FencedError,
  );
  expect(tokensOf(await RedisStore.open(optionsOf(opened)))).toEqual([9]);
});

test('a commit waits for a Redis that is away, and gives up when it is told to hurry', async () => {
  const away = await startRedisServer();
  const connection = await connect(away.url);
  const hurrying = new AbortController();
  const options = optionsOf(1, connection, { hurry: hurrying.signal, retryMsMax: 60_000 });
  const store = await RedisStore.open(options);
  await away.kill();
  const waiting = store.commit(large(1), at(1));
  await away.restart();
  await waiting;
  await away.kill();
  const hopeless = store.commit(large(2), at(2));
  hurrying.abort(new Error('the broker gives the rows up'));
  await expect(hopeless).rejects.toThrow('Redis does not do what');
  await away.restart();
  const next = await RedisStore.open({ ...options, hurry: new AbortController().signal });
  expect([tokensOf(next), next.position()]).toEqual([[1], at(1)]);
  connection.close();
  await away.stop();
});

test('a commit that Redis cannot take for too long fails', async () => {
  const store = await RedisStore.open(optionsOf(9_999, redis, { retryMsMax: 300 }));
  await server.ask('CONFIG', 'SET', 'maxmemory', '1');
  await expect(store.commit(large(1), at(1))).rejects.toThrow('Redis does not do what');
  await server.ask('CONFIG', 'SET', 'maxmemory', '0');
  const next = await RedisStore.open(optionsOf(9_999));
  expect([next.position(), [...next.items()]]).toEqual([undefined, []]);
});

test('a Redis Cluster keeps the rows of a partition together', async () => {
  const node = await startRedisServer({ isClusterNode: true });
  await node.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await expect.poll(() => node.ask('CLUSTER', 'INFO'), { timeout: 10_000 }).toContain('cluster_state:ok');
  const cluster = await connect(node.url);
  for (const partition of [0, 1, 2]) {
    const options = optionsOf(partition, cluster);
    const store = await RedisStore.open(options);
    await store.commit(large(partition), at(1));
    expect(tokensOf(await RedisStore.open(options))).toEqual([partition]);
    const slots = await Promise.all(options.keys.all.map((key) => node.ask('CLUSTER', 'KEYSLOT', key)));
    expect(new Set(slots).size).toBe(1);
  }
  cluster.close();
  await node.stop();
});
