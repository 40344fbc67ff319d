import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { requestReply } from '#shared/client/request.ts';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { type Nats, connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import type { Sample, Sides, Workload } from '#tests/bench/measure.ts';
import { rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type MetricsSink, startMetricsSink } from './metrics-sink.ts';
import { metricMessage, recordsPerMessage, seriesCount } from './records.ts';

const subjects = subjectsFor('trivet');
const streams = streamsFor('trivet');
const startMs = 1_764_000_000_000;
const publishesInFlight = 200;

/** `messages` of a hundred records from a stream that is filled before, counted, exported, acknowledged. */
export const metricsAggregated = (messages: number, peer?: Peer): Workload => ({
  workload: 'metrics-aggregated',
  unit: 'items/s',
  durability: 'fsync of totals and marks; acknowledged after the destination has accepted',
  ...(peer === undefined ? {} : { peerName: peer.name }),
  notes:
    `records for each second of the collector's CPU time; ${messages * recordsPerMessage} records, ` +
    `${seriesCount} series, four tags, ${metricMessage(0, startMs).length / recordsPerMessage} bytes a record, ` +
    `${recordsPerMessage} a message`,
  open: () => open(messages, peer),
});

/** Whoever does the same job beside us. */
export interface Peer {
  readonly name: string;
  open(sink: MetricsSink): Promise<{ run(messages: number): Promise<Sample>; close(): Promise<void> }>;
}

async function open(messages: number, peer: Peer | undefined): Promise<Sides> {
  const server = await startNatsServer();
  const { url, user, password } = server;
  const nats = await connectNats({ url, name: 'bench', user, password, inboxPrefix: serviceInboxPrefix });
  const sink = await startMetricsSink();
  const data = await mkdtemp(join(tmpdir(), 'trivet-bench-collector-'));
  const other = await peer?.open(sink);
  const side = { server, nats, sink, data };
  // The stream is made by a collector; nothing is published before.
  await (await startCollector(side, 'first')).stop();
  return {
    ours: (round) => run(side, messages, round),
    ...(other === undefined ? {} : { peer: () => other.run(messages) }),
    close: async () => {
      await other?.close();
      await nats.connection.close();
      await server.stop();
      await sink.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

interface Side {
  readonly server: RunningNatsServer;
  readonly nats: Nats;
  readonly sink: MetricsSink;
  readonly data: string;
}

const startCollector = ({ server, sink, data }: Side, name: string) =>
  startService('telemetry-collector', {
    ...natsEnvironment(server),
    TRIVET_NAME: name,
    TRIVET_DATA: join(data, name),
    OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint,
    OTEL_SDK_DISABLED: 'true',
    ...(process.env['TRIVET_BENCH_PROFILE'] === undefined
      ? {}
      : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${process.env['TRIVET_BENCH_PROFILE']}` }),
  });

async function run(side: Side, messages: number, round: number): Promise<Sample> {
  await fill(side.nats, messages);
  const collector = await startCollector(side, `collector-${round}`);
  try {
    const { cpu } = await withCpu({ collector: [collector.pid] }, messages * recordsPerMessage, () =>
      emptied(side.nats),
    );
    await check(side.nats, messages);
    const rssMiB = rssAnonMiB(collector.pid);
    const micros = cpu['collector'];
    if (micros === undefined) throw new Error('nobody tells here what CPU a process uses');
    return { value: 1_000_000 / micros, cpu, ...(rssMiB === undefined ? {} : { rssMiB }) };
  } finally {
    await collector.stop();
  }
}

async function fill(nats: Nats, messages: number): Promise<void> {
  for (let next = 0; next < messages; next += publishesInFlight) {
    const group = Array.from({ length: Math.min(publishesInFlight, messages - next) }, (_, index) =>
      nats.js.publish(subjects.telemetry('metric'), metricMessage(next + index, startMs)),
    );
    await Promise.all(group);
  }
}

const emptyMsMax = 300_000;

/** Resolves once every message is acknowledged. */
async function emptied(nats: Nats): Promise<void> {
  const manager = await nats.manager();
  const endMs = performance.now() + emptyMsMax;
  while ((await manager.streams.info(streams.telemetry)).state.messages > 0) {
    if (performance.now() > endMs) throw new Error(`the stream was not emptied in ${emptyMsMax} ms`);
    await delay(50);
  }
}

/** Throws unless the collector has counted every record once. */
async function check(nats: Nats, messages: number): Promise<void> {
  const reply = await requestReply(nats, subjects.telemetryQuery('series'), { limit: 10_000 });
  if (!reply.ok) throw new Error(reply.error.message);
  const { series } = reply.value as { readonly series: readonly { readonly value: number }[] };
  const total = series.reduce((sum, one) => sum + one.value, 0);
  if (total !== messages * recordsPerMessage || series.length !== Math.min(seriesCount, total))
    throw new Error(`${messages * recordsPerMessage} records came to ${total} in ${series.length} series`);
}
