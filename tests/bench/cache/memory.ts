import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Sample, Workload } from '#tests/bench/measure.ts';

const run = promisify(execFile);

/**
 * What entries cost a process: how long a forced full collection of garbage takes, and the bytes beyond key and value.
 * Each round fills a new process, so that none measures what another one left.
 */
export const memory = (entries: number): Workload => ({
  workload: 'memory-1.5m',
  unit: 'ms',
  durability: 'in memory',
  peerName: 'a plain Map',
  notes: `CPU of a forced full collection with ${entries} entries of 100 bytes of key and value`,
  open: () =>
    Promise.resolve({
      ours: () => filled('trivet', entries),
      peer: () => filled('map', entries),
      close: () => Promise.resolve(),
    }),
});

interface Filled {
  readonly collectMs: number;
  readonly overhead: number;
  readonly rssMiB: number;
  readonly found: number | false;
}

async function filled(side: 'trivet' | 'map', entries: number): Promise<Sample> {
  const main = join(import.meta.dirname, 'memory-main.ts');
  const { stdout } = await run(process.execPath, ['--expose-gc', main, side, String(entries)]);
  const { collectMs, overhead, rssMiB, found } = JSON.parse(stdout) as Filled;
  if (found !== entries) throw new Error(`${side} holds ${found} of ${entries} entries`);
  return { value: collectMs, rssMiB, figures: { 'bytes an entry beyond key and value': overhead } };
}
