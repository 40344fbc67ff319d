import { readFileSync } from 'node:fs';
import { Queue as BullQueue, Worker as BullWorker } from 'bullmq';
import { type Trivet, connect } from '#shared/client/client.ts';
import { natsEnvironment, startService } from '#tests/support/service-process.ts';
import { auditLog } from '#tests/support/log-auditor.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type Sample, type Workload, callersAtOnce } from './measure.ts';
import { startRedis } from './redis-server.ts';
import type { Suite } from './run.ts';

const fsync = 'fsync before the answer';
const peerName = 'BullMQ, everysec';
const priorities = ['critical', 'high', 'normal', 'low'] as const;
const payload = { to: 'someone@example.org', template: 'welcome', attempt: 1 };

const items = { single: 20_000, batch: 50_000, process: 30_000 };

/** The queue beside BullMQ: the same job, the same machine, in turns. */
export async function queueWorkloads(): Promise<Suite> {
  const server = await startNatsServer();
  const broker = await startService('queue-broker', {
    ...natsEnvironment(server),
    TRIVET_NAME: 'queue-broker-1',
    TRIVET_DATA: `${server.dir}/queue-broker-1`,
    TRIVET_PARTITIONS: '4',
  });
  const redis = await startRedis();
  const trivet = await connect({ url: server.url });
  const connection = { host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null };
  const bull = (name: string) => new BullQueue(name, { connection });
  const workloads: Workload[] = [
    {
      workload: 'enqueue-single-200',
      unit: 'items/s',
      durability: fsync,
      peerName,
      ours: (round) => callersAtOnce(items.single, 200, () => trivet.queue(`single-${round}`).add(payload)),
      peer: (round) =>
        withBull(bull(`single-${round}`), (queue) =>
          callersAtOnce(items.single, 200, () => queue.add('job', payload)),
        ),
      notes: '200 callers, one item a call, one process',
    },
    {
      workload: 'enqueue-batch-500',
      unit: 'items/s',
      durability: fsync,
      peerName,
      ours: (round) =>
        batches(500, (batch) => trivet.queue(`batch-${round}`).addMany(batch.map(() => ({ payload })))),
      peer: (round) =>
        withBull(bull(`batch-${round}`), (queue) =>
          batches(500, (batch) => queue.addBulk(batch.map(() => ({ name: 'job', data: payload })))),
        ),
      notes: 'p50 and p99 are of a batch of 500; four batches under way',
    },
    {
      workload: 'process-200',
      unit: 'items/s',
      durability: `${fsync}; done items kept (100,000)`,
      peerName,
      ours: (round) => processOurs(trivet, `process-${round}`, server),
      peer: (round) => processPeer(bull(`process-${round}`), connection),
      notes:
        'empty jobs in four bands, concurrency 200, one worker process; counted in the log, not by the worker',
    },
  ];
  return {
    versions: versions(redis.version),
    workloads,
    stop: async () => {
      await trivet.close();
      await broker.stop();
      await server.stop();
      await redis.stop();
    },
  };
}

async function batches(size: number, add: (batch: readonly number[]) => Promise<unknown>): Promise<Sample> {
  const batch = Array.from({ length: size }, (_, index) => index);
  const sample = await callersAtOnce(items.batch / size, 4, () => add(batch));
  return { ...sample, value: sample.value * size };
}

async function withBull(queue: BullQueue, run: (queue: BullQueue) => Promise<Sample>): Promise<Sample> {
  await queue.waitUntilReady();
  try {
    return await run(queue);
  } finally {
    await queue.obliterate({ force: true });
    await queue.close();
  }
}

/** The clock stops after the last completion is durable: the worker's `stop` waits for its answer. */
async function processOurs(trivet: Trivet, name: string, server: RunningNatsServer): Promise<Sample> {
  const queue = trivet.queue(name);
  const added = Array.from({ length: items.process }, (_, index) => ({
    payload,
    options: { priority: priorities[index % 4] ?? 'normal' },
  }));
  await queue.addMany(added);
  const started = performance.now();
  let handled = 0;
  const allHandled = Promise.withResolvers<void>();
  const worker = trivet.worker(
    name,
    () => {
      handled += 1;
      if (handled === items.process) allHandled.resolve();
    },
    { concurrency: 200 },
  );
  await allHandled.promise;
  await worker.stop();
  const value = items.process / ((performance.now() - started) / 1_000);
  await checkDelivery(server, name);
  return { value };
}

/** Exact delivery, by the log: as many terminal records as items, none twice. */
async function checkDelivery(server: RunningNatsServer, queue: string): Promise<void> {
  const audit = await auditLog(server);
  const own = [...audit.items.values()].filter((item) => item.queue === queue);
  const exact = own.filter((item) => item.state === 'done' && item.ends === 1 && item.claims === 1);
  if (exact.length === items.process && own.length === items.process && audit.faults.length === 0) return;
  throw new Error(
    `${queue}: ${exact.length} of ${own.length} items were done exactly once; ${audit.faults.join('; ')}`,
  );
}

async function processPeer(
  queue: BullQueue,
  connection: { host: string; port: number; maxRetriesPerRequest: null },
): Promise<Sample> {
  await queue.waitUntilReady();
  for (let from = 0; from < items.process; from += 1_000) {
    const bulk = Array.from({ length: 1_000 }, (_, index) => ({
      name: 'job',
      data: payload,
      opts: { priority: 1 + ((from + index) % 4) },
    }));
    await queue.addBulk(bulk);
  }
  const started = performance.now();
  let completed = 0;
  const all = Promise.withResolvers<void>();
  const worker = new BullWorker(queue.name, () => Promise.resolve(), { connection, concurrency: 200 });
  worker.on('completed', () => {
    completed += 1;
    if (completed === items.process) all.resolve();
  });
  await all.promise;
  const value = items.process / ((performance.now() - started) / 1_000);
  await worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  return { value };
}

function versions(redis: string): Readonly<Record<string, string>> {
  const versionOf = (name: string): string =>
    (JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string }).version;
  return { node: process.version, trivet: '0.1.0', bullmq: versionOf('bullmq'), redis };
}
