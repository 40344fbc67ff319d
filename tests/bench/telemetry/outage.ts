import { setTimeout as delay } from 'node:timers/promises';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import type { Workload } from '#tests/bench/measure.ts';
import { rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import { CollectorSide } from './collector-side.ts';
import { logMessages, perMessage } from './log-records.ts';
import { Sink } from './sink.ts';
import { publishSteadily, steadyPerSecond } from './steady-load.ts';

// The stream fills what a collector may hold within two seconds; from then on its memory is to stay as it is.
const fillSeconds = 2;

/** The receiver refuses for a while under a steady load, and takes everything again then. */
export const outage = (seconds: number): Workload => ({
  workload: 'outage',
  unit: 'items/s',
  durability: 'acknowledged after the receiver has answered; by the clock, from its first answer to the last',
  notes:
    `${steadyPerSecond} log records of 200 bytes a second, ${perMessage} a message; ` +
    `the receiver answers 503 for ${seconds} s, then takes what has gathered`,
  open: async () => {
    const sink = await Sink.start();
    const side = await CollectorSide.start({ OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint });
    const bodies = logMessages(steadyPerSecond);
    const subject = subjectsFor('trivet').telemetry('log');
    const publishFor = (duration: number) =>
      publishSteadily(duration, (message) =>
        side.publish(subject, bodies[message % bodies.length] ?? Buffer.alloc(0)),
      );
    return {
      ours: async () => {
        const count = (seconds + fillSeconds) * steadyPerSecond;
        const itemsBefore = sink.items;
        sink.refuse(true);
        await publishFor(fillSeconds);
        const rssBefore = rssAnonMiB(side.collector.pid) ?? Number.NaN;
        await publishFor(seconds);
        const rssMiB = rssAnonMiB(side.collector.pid) ?? Number.NaN;
        if (sink.items !== itemsBefore) throw new Error('the receiver took something while it refused all');
        sink.refuse(false);
        while (sink.items === itemsBefore) await delay(5);
        const started = performance.now();
        const { cpu } = await withCpu({ collector: [side.collector.pid] }, count, () => side.drained());
        const took = (performance.now() - started) / 1_000;
        while (sink.items - itemsBefore < count) await delay(5);
        const { eventLoopDelayMs } = await side.stats();
        return {
          value: count / took,
          cpu,
          rssMiB,
          figures: {
            'times the input': count / took / steadyPerSecond,
            'MiB more in the outage': rssMiB - rssBefore,
            'p99 delay ms': eventLoopDelayMs.p99,
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
