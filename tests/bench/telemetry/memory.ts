import { subjectsFor } from '#shared/protocol/subjects.ts';
import type { Workload } from '#tests/bench/measure.ts';
import { rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import { CollectorSide } from './collector-side.ts';
import { logMessages, perMessage } from './log-records.ts';
import { Sink } from './sink.ts';
import { publishSteadily, steadyPerSecond } from './steady-load.ts';

/** What a steady load costs: memory, share of a core, and how long the event loop is held up. */
export const collectorMemory = (seconds: number): Workload => ({
  workload: 'collector-memory',
  unit: 'ms',
  durability: 'acknowledged after the receiver has answered; the value is the p99 delay of the event loop',
  notes: `${steadyPerSecond} log records of 200 bytes a second, ${perMessage} a message, for ${seconds} s`,
  open: async () => {
    const sink = await Sink.start();
    const side = await CollectorSide.start({ OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint });
    const bodies = logMessages(steadyPerSecond);
    const subject = subjectsFor('trivet').telemetry('log');
    return {
      ours: async () => {
        const count = seconds * steadyPerSecond;
        const started = performance.now();
        const { cpu } = await withCpu({ collector: [side.collector.pid] }, count, async () => {
          await publishSteadily(seconds, (message) =>
            side.publish(subject, bodies[message % bodies.length] ?? Buffer.alloc(0)),
          );
          await side.drained();
        });
        const { eventLoopDelayMs } = await side.stats();
        const took = (performance.now() - started) / 1_000;
        const rss = rssAnonMiB(side.collector.pid);
        return {
          value: eventLoopDelayMs.p99,
          cpu,
          ...(rss === undefined ? {} : { rssMiB: rss }),
          figures: {
            'percent of a core': ((cpu['collector'] ?? 0) * count) / 10_000 / took,
            'longest delay ms': eventLoopDelayMs.max,
          },
        };
      },
      close: async () => {
        await side.stop();
        await sink.stop();
      },
    };
  },
});
