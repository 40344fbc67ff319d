import { setTimeout as delay } from 'node:timers/promises';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import type { Sample, Workload } from '#tests/bench/measure.ts';
import { rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import { startOtelCollector } from '#tests/support/otel-collector.ts';
import { CollectorSide } from './collector-side.ts';
import { logMessages, otlpMessages, perMessage } from './log-records.ts';
import { postAll } from './post-all.ts';
import { Sink } from './sink.ts';

const subjects = subjectsFor('trivet');
const arriveMsMax = 60_000;

/** Log records through the collector to an OTLP receiver, from a stream that was filled before. */
export const logsPassthrough = (count: number): Workload =>
  passthrough({
    workload: 'logs-passthrough',
    count,
    subject: subjects.telemetry('log'),
    messages: () => logMessages(count),
    notes: `${count} log records of 200 bytes in JSON, ${perMessage} a message, from a pre-filled stream`,
  });

/** The same records as OTLP requests over NATS. */
export const otlpPassthrough = (count: number): Workload =>
  passthrough({
    workload: 'otlp-passthrough',
    count,
    subject: subjects.otlp('logs'),
    messages: () => otlpMessages(count),
    notes: `${count} log records as OTLP requests of ${perMessage}, from a pre-filled stream`,
  });

interface Passthrough {
  readonly workload: string;
  readonly count: number;
  readonly subject: string;
  readonly messages: () => readonly Buffer[];
  readonly notes: string;
}

function passthrough({ workload, count, subject, messages, notes }: Passthrough): Workload {
  return {
    workload,
    unit: 'items/s',
    durability: 'acknowledged after the receiver has answered; per second of CPU time of the collector',
    peerName: 'OpenTelemetry Collector (OTLP/HTTP in and out, no queue)',
    notes,
    open: async () => {
      const sink = await Sink.start();
      const side = await CollectorSide.start({ OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint });
      const peer = await startOtelCollector({ forwardTo: { type: 'http', endpoint: sink.endpoint } });
      const bodies = messages();
      const requests = otlpMessages(count);
      return {
        ours: async () => {
          await side.fill(subject, bodies.length, (at) => bodies[at] ?? Buffer.alloc(0));
          return measured(sink, { collector: [side.collector.pid] }, count, () => side.drained());
        },
        peer: () =>
          measured(sink, { collector: [peer.pid()] }, count, () =>
            postAll(`${peer.endpoint}/v1/logs`, requests.length, (at) => requests[at] ?? Buffer.alloc(0)),
          ),
        close: async () => {
          await side.stop();
          await peer.remove();
          await sink.stop();
        },
      };
    },
  };
}

async function measured(
  sink: Sink,
  processes: { readonly collector: readonly number[] },
  count: number,
  work: () => Promise<void>,
): Promise<Sample> {
  const before = sink.items;
  const started = performance.now();
  const { cpu } = await withCpu(processes, count, work);
  const seconds = (performance.now() - started) / 1_000;
  const endMs = performance.now() + arriveMsMax;
  while (sink.items - before < count) {
    if (performance.now() > endMs) throw new Error(`${sink.items - before} of ${count} records have arrived`);
    await delay(10);
  }
  const rss = rssAnonMiB(processes.collector[0] ?? 0);
  return {
    value: 1_000_000 / (cpu['collector'] ?? Number.NaN),
    cpu,
    ...(rss === undefined ? {} : { rssMiB: rss }),
    figures: { 'items/s by the clock': count / seconds },
  };
}
