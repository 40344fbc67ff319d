import { join } from 'node:path';
import { ClientProcess } from '#tests/bench/client-process.ts';
import type { Figures } from '#tests/bench/measure.ts';
import { type Processes, rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { startRedisServer } from '#tests/support/redis-server.ts';
import { natsEnvironment, startService } from '#tests/support/service-process.ts';
import type { Address, ServicesAddress, Tasks } from './cache-task.ts';

export type CacheClient = ClientProcess<Tasks>;

/** A cache with its servers, and the client process that is measured. */
export interface Contestant {
  readonly client: CacheClient;
  /** A second client of the same kind. */
  readonly other: CacheClient | undefined;
  /** Runs `work` and says what one of `items` cost each process in CPU. */
  withCpu<T>(items: number, work: () => Promise<T>): Promise<{ readonly value: T; readonly cpu: Figures }>;
  /** Anonymous memory of the process that holds the values. */
  memoryMiB(): number | undefined;
  stop(): Promise<void>;
}

export interface StartOptions {
  /** A near cache of so many entries in the client that is measured. */
  readonly nearEntriesMax?: number;
  /** Whether there is a second client, without a near cache. */
  readonly other?: boolean;
}

export type ContestantStart = (options?: StartOptions) => Promise<Contestant>;

/** A nats-server and one cache-node, as `npm start` sets them up. */
export const startTrivet: ContestantStart = ({ nearEntriesMax, other } = {}) =>
  clusterWith(({ url }) => {
    const address = { system: 'trivet', url } as const;
    return {
      address: { ...address, ...(nearEntriesMax === undefined ? {} : { nearEntriesMax }) },
      otherAddress: other === true ? address : undefined,
    };
  });

/** The same, asked by a NATS client that knows nothing of Trivet. */
export const startTrivetPlain: ContestantStart = () =>
  clusterWith(({ url }) => ({ address: { system: 'trivet-plain', url } }));

async function clusterWith(
  clients: (server: RunningNatsServer) => Pick<Parts, 'address' | 'otherAddress'>,
): Promise<Contestant> {
  const server = await startNatsServer();
  const node = await startService('cache-node', natsEnvironment(server));
  return contestant({
    ...clients(server),
    servers: { 'cache-node': node.pid, 'nats-server': server.pid },
    stop: async () => {
      await node.stop();
      await server.stop();
    },
  });
}

/** Redis without persistence, as a cache is run. */
export const startRedis: ContestantStart = async () => {
  const redis = await startRedisServer({ persistent: false });
  return contestant({
    address: { system: 'redis', port: redis.port },
    servers: { redis: redis.pid },
    stop: () => redis.stop(),
  });
};

export const startNatsKv: ContestantStart = async () => {
  const server = await startNatsServer();
  return contestant({
    address: servicesAddress('nats-kv', server),
    servers: { 'nats-server': server.pid },
    stop: () => server.stop(),
  });
};

/** One process asks, the other answers. */
export const startNatsEcho: ContestantStart = async () => {
  const server = await startNatsServer();
  const address = servicesAddress('nats-echo', server);
  return contestant({
    address,
    otherAddress: { ...address, answers: true },
    servers: { 'nats-server': server.pid },
    stop: () => server.stop(),
  });
};

export const startBentoMemory: ContestantStart = () =>
  contestant({ address: { system: 'bentocache-memory' }, servers: {}, stop: () => Promise.resolve() });

const servicesAddress = (system: ServicesAddress['system'], server: RunningNatsServer): ServicesAddress => ({
  system,
  url: server.url,
  user: server.user,
  pass: server.password,
});

interface Parts {
  readonly address: Address;
  readonly otherAddress?: Address | undefined;
  /** The process ids, the one that holds the values first. */
  readonly servers: Readonly<Record<string, number>>;
  readonly stop: () => Promise<void>;
}

async function contestant({ address, otherAddress, servers, stop }: Parts): Promise<Contestant> {
  const main = join(import.meta.dirname, 'client-main.ts');
  const client = await ClientProcess.start<Tasks>(main, address);
  const other = otherAddress === undefined ? undefined : await ClientProcess.start<Tasks>(main, otherAddress);
  const processes: Processes = {
    ...Object.fromEntries(Object.entries(servers).map(([name, pid]) => [name, [pid]])),
    client: [client.pid],
  };
  const [holder] = Object.values(servers);
  return {
    client,
    other,
    withCpu: (items, work) => withCpu(processes, items, work),
    memoryMiB: () => (holder === undefined ? undefined : rssAnonMiB(holder)),
    stop: async () => {
      await Promise.all([client.stop(), other?.stop()]);
      await stop();
    },
  };
}
