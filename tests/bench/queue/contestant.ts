import { join } from 'node:path';
import { Queue } from 'bullmq';
import { auditLog } from '#tests/support/log-auditor.ts';
import { startNatsServer } from '#tests/support/nats-server.ts';
import { natsEnvironment, startService } from '#tests/support/service-process.ts';
import { startRedisServer } from '#tests/support/redis-server.ts';
import { ClientProcess } from '#tests/bench/client-process.ts';
import { type Processes, rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import type { Figures } from '#tests/bench/measure.ts';
import type { Address, Tasks } from './client-task.ts';

/** What a queue should hold when a run is over. */
export interface Expected {
  /** Never handed out. */
  readonly waiting: number;
  /** Handed out once and completed once. */
  readonly done: number;
  /** Handed out once, the lease still held. */
  readonly leased?: number;
  /** False when the run asked that nothing is kept of done items. */
  readonly keepDone?: boolean;
}

export type QueueClient = ClientProcess<Tasks>;

/** A job system with its servers, and client processes that are connected to it. */
export interface Contestant {
  readonly clients: readonly QueueClient[];
  /** Runs `work` and says what one of `items` cost each process in CPU. */
  withCpu<T>(items: number, work: () => Promise<T>): Promise<{ readonly value: T; readonly cpu: Figures }>;
  /** Throws unless every item was delivered exactly as expected. */
  check(queue: string, expected: Expected): Promise<void>;
  /** Anonymous memory of the process that decides about jobs. */
  memoryMiB(): number | undefined;
  stop(): Promise<void>;
}

/** A nats-server and one broker, as `npm start` sets them up. */
export async function startTrivet(clientCount: number): Promise<Contestant> {
  const server = await startNatsServer();
  const broker = await startService('queue-broker', {
    ...natsEnvironment(server),
    TRIVET_NAME: 'queue-broker-1',
    TRIVET_DATA: `${server.dir}/queue-broker-1`,
    TRIVET_PARTITIONS: '4',
  });
  const clients = await startClients(clientCount, { system: 'trivet', url: server.url });
  const processes: Processes = {
    broker: [broker.pid],
    'nats-server': [server.pid],
    client: clients.map((client) => client.pid),
  };
  return {
    clients,
    withCpu: (items, work) => withCpu(processes, items, work),
    // By the log and not by what any client counted; the auditor shares no code with the broker.
    check: async (queue, { waiting, done, leased = 0, keepDone = true }) => {
      const { items, faults } = await auditLog(server);
      const found = { waiting: 0, done: 0, leased: 0, wrong: 0 };
      for (const { queue: its, state, claims, ends } of items.values()) {
        if (its !== queue) continue;
        if (state === 'pending' && claims === 0) found.waiting += 1;
        else if (state === 'done' && claims === 1 && ends === 1) found.done += 1;
        else if (state === 'processing' && claims === 1) found.leased += 1;
        else found.wrong += 1;
      }
      compare(queue, { waiting, done, leased, wrong: 0 }, found, faults);
      if (!keepDone) await clients[0]?.run('see-removed', { queue });
    },
    memoryMiB: () => rssAnonMiB(broker.pid),
    stop: async () => {
      await Promise.all(clients.map((client) => client.stop()));
      await broker.stop();
      await server.stop();
    },
  };
}

/** BullMQ on a Redis of its own. */
export async function startBullmq(clientCount: number): Promise<Contestant> {
  // `everysec` is the durability that job queues on Redis are run with.
  const redis = await startRedisServer({ appendFsync: 'everysec' });
  const clients = await startClients(clientCount, { system: 'bullmq', port: redis.port });
  const processes: Processes = { redis: [redis.pid], client: clients.map((client) => client.pid) };
  const connection = { host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null };
  return {
    clients,
    withCpu: (items, work) => withCpu(processes, items, work),
    check: async (name, { waiting, done, leased = 0, keepDone = true }) => {
      const queue = new Queue(name, { connection });
      const counts = await queue.getJobCounts();
      const found = {
        waiting: (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0) + (counts['delayed'] ?? 0),
        done: counts['completed'] ?? 0,
        leased: counts['active'] ?? 0,
        wrong: counts['failed'] ?? 0,
      };
      compare(name, { waiting, done: keepDone ? done : 0, leased, wrong: 0 }, found, []);
      // Redis keeps it all in memory: the rounds that follow should not pay for this one.
      await queue.obliterate({ force: true });
      await queue.close();
    },
    memoryMiB: () => rssAnonMiB(redis.pid),
    stop: async () => {
      await Promise.all(clients.map((client) => client.stop()));
      await redis.stop();
    },
  };
}

const clientMain = join(import.meta.dirname, 'client-main.ts');

const startClients = (count: number, address: Address): Promise<QueueClient[]> =>
  Promise.all(Array.from({ length: count }, () => ClientProcess.start<Tasks>(clientMain, address)));

function compare(queue: string, expected: object, found: object, faults: readonly string[]): void {
  if (JSON.stringify(expected) === JSON.stringify(found) && faults.length === 0) return;
  throw new Error(
    [`${queue} should hold ${JSON.stringify(expected)} and holds ${JSON.stringify(found)}`, ...faults].join(
      '; ',
    ),
  );
}
