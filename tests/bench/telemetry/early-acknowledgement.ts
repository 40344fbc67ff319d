import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import type { Sample, Workload } from '#tests/bench/measure.ts';
import { withCpu } from '#tests/bench/process-figures.ts';
import { CollectorSide } from './collector-side.ts';
import { logMessages, perMessage } from './log-records.ts';
import { Sink } from './sink.ts';

/**
 * What it costs to acknowledge after the export: beside it the same collector with a best-effort destination, which
 * acknowledges what it has taken in. By the clock, since it is the waiting that might cost.
 */
export const earlyAcknowledgement = (count: number): Workload => ({
  workload: 'ack-after-export',
  unit: 'items/s',
  durability: 'acknowledged after the receiver has answered; by the clock',
  peerName: 'the same collector, acknowledging before the export (a best-effort destination)',
  notes: `${count} log records of 200 bytes in JSON, ${perMessage} a message, from a pre-filled stream until it is empty`,
  open: async () => {
    const sink = await Sink.start();
    const folder = await mkdtemp(join(tmpdir(), 'trivet-bench-'));
    const start = async (required: boolean): Promise<CollectorSide> => {
      const file = join(folder, `required-${String(required)}.json`);
      const destination = { name: 'main', type: 'otlp-http', endpoint: sink.endpoint, required };
      await writeFile(file, JSON.stringify({ destinations: [destination] }));
      return CollectorSide.start({ TRIVET_TELEMETRY_PIPELINES: file });
    };
    const after = await start(true);
    const before = await start(false);
    const bodies = logMessages(count);
    const run = async (side: CollectorSide): Promise<Sample> => {
      const subject = subjectsFor('trivet').telemetry('log');
      await side.fill(subject, bodies.length, (at) => bodies[at] ?? Buffer.alloc(0));
      const arrivedBefore = sink.items;
      const started = performance.now();
      const { cpu } = await withCpu({ collector: [side.collector.pid] }, count, () => side.drained());
      const seconds = (performance.now() - started) / 1_000;
      return {
        value: count / seconds,
        cpu,
        figures: { 'arrived when all was acknowledged': sink.items - arrivedBefore },
      };
    };
    return {
      ours: () => run(after),
      peer: () => run(before),
      close: async () => {
        await after.stop();
        await before.stop();
        await sink.stop();
        await rm(folder, { recursive: true });
      },
    };
  },
});
