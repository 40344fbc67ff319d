import { readFileSync } from 'node:fs';
import type { Figures } from './measure.ts';

// What the kernel knows of a process. Linux alone tells it this way; elsewhere these figures are left out.

/** The kernel counts CPU in ticks of this length, whatever its own timer does (USER_HZ). */
const microsPerTick = 10_000;

/** CPU that a process has used since it began, user and system, in microseconds; undefined where nobody tells. */
function cpuMicros(pid: number): number | undefined {
  const line = read(`/proc/${pid}/stat`);
  // The name of the program stands in brackets and may hold anything; fields are counted behind it.
  const fields = line?.slice(line.lastIndexOf(')') + 2).split(' ');
  return fields === undefined ? undefined : (Number(fields[11]) + Number(fields[12])) * microsPerTick;
}

/** Anonymous memory of a process in MiB: its heaps, without the files that it has mapped. */
export function rssAnonMiB(pid: number): number | undefined {
  const kib = /^RssAnon:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  return kib === undefined ? undefined : Number(kib) / 1_024;
}

/** Processes by what they are; several of one kind are added up. */
export type Processes = Readonly<Record<string, readonly number[]>>;

/** Runs `work` and says how many microseconds of CPU each kind of process used for one of `items`. */
export async function withCpu<T>(
  processes: Processes,
  items: number,
  work: () => Promise<T>,
): Promise<{ readonly value: T; readonly cpu: Figures }> {
  const before = used(processes);
  const value = await work();
  const after = used(processes);
  const cpu: Record<string, number> = {};
  for (const [name, micros] of Object.entries(after)) cpu[name] = (micros - (before[name] ?? 0)) / items;
  return { value, cpu };
}

function used(processes: Processes): Figures {
  const sums: Record<string, number> = {};
  for (const [name, pids] of Object.entries(processes)) {
    for (const pid of pids) {
      const micros = cpuMicros(pid);
      if (micros !== undefined) sums[name] = (sums[name] ?? 0) + micros;
    }
  }
  return sums;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
