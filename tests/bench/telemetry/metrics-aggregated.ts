import { subjectsFor } from '#shared/protocol/subjects.ts';
import type { Sample, Sides, Workload } from '#tests/bench/measure.ts';
import { rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import { CollectorSide } from './collector-side.ts';
import { type MetricsSink, startMetricsSink } from './metrics-sink.ts';
import { metricMessage, recordsPerMessage, seriesAt, seriesCount } from './records.ts';

const subjects = subjectsFor('trivet');
const startMs = 1_764_000_000_000;

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
  open(
    sink: MetricsSink,
  ): Promise<{ run(messages: number, startMs: number): Promise<Sample>; close(): Promise<void> }>;
}

async function open(messages: number, peer: Peer | undefined): Promise<Sides> {
  const sink = await startMetricsSink();
  const side = await CollectorSide.start({ OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint });
  const other = await peer?.open(sink);
  return {
    ours: (round) => run(side, messages, round),
    ...(other === undefined ? {} : { peer: () => other.run(messages, startMs) }),
    close: async () => {
      await other?.close();
      await side.stop();
      await sink.stop();
    },
  };
}

async function run(side: CollectorSide, messages: number, round: number): Promise<Sample> {
  const first = round * messages;
  await side.fill(subjects.telemetry('metric'), messages, (index) => metricMessage(first + index, startMs));
  const { pid } = side.collector;
  const { cpu } = await withCpu({ collector: [pid] }, messages * recordsPerMessage, () => side.drained());
  await check(side, first + messages);
  const rssMiB = rssAnonMiB(pid);
  const micros = cpu['collector'];
  if (micros === undefined) throw new Error('nobody tells here what CPU a process uses');
  return { value: 1_000_000 / micros, cpu, ...(rssMiB === undefined ? {} : { rssMiB }) };
}

/** Throws unless the collector has counted every record once, those of the rounds before too. */
async function check(side: CollectorSide, messages: number): Promise<void> {
  const { series } = (await side.ask('series', { limit: 10_000 })) as {
    readonly series: readonly { readonly value: number }[];
  };
  const total = series.reduce((sum, one) => sum + one.value, 0);
  const drawn = new Set<number>();
  for (let record = 0; record < total && drawn.size < seriesCount; record += 1)
    drawn.add(seriesAt(0, record));
  if (total !== messages * recordsPerMessage || series.length !== drawn.size)
    throw new Error(`${messages * recordsPerMessage} records came to ${total} in ${series.length} series`);
}
