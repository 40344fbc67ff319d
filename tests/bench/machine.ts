import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem, type as osType } from 'node:os';
import { join } from 'node:path';
import { percentile } from './measure.ts';

/** The machine that figures belong to. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly os: string;
  /** One write of 4 KiB and its fsync, in milliseconds: what every durable answer waits for at least. */
  readonly fsyncMs: { readonly p50: number; readonly p99: number };
  /** How the kernel sets the clock of the cores, where it tells. */
  readonly governor?: string;
}

/** Describes this machine and measures its disk, where the servers of a benchmark keep their data: half a second. */
export async function describeMachine(): Promise<Machine> {
  const governor = await readFile('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor', 'utf8').catch(
    () => undefined,
  );
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1_024 ** 3),
    os: `${osType()} ${release()}`,
    fsyncMs: await fsyncLatency(),
    ...(governor === undefined ? {} : { governor: governor.trim() }),
  };
}

const writes = 200;

async function fsyncLatency(): Promise<Machine['fsyncMs']> {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-fsync-'));
  const file = await open(join(folder, 'file'), 'w');
  const block = Buffer.alloc(4_096, 'x');
  const times: number[] = [];
  try {
    for (let index = 0; index < writes; index += 1) {
      const at = performance.now();
      await file.write(block);
      await file.sync();
      times.push(performance.now() - at);
    }
  } finally {
    await file.close();
    await rm(folder, { recursive: true, force: true });
  }
  times.sort((a, b) => a - b);
  const rounded = (share: number): number => Math.round(percentile(times, share) * 1_000) / 1_000;
  return { p50: rounded(0.5), p99: rounded(0.99) };
}
