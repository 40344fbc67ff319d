import { readFile } from 'node:fs/promises';

/**
 * Says which process is meant, beyond its pid: pids are used again, and after a restart of the machine a stored one
 * can belong to anything.
 */
export interface ProcessMark {
  readonly pid: number;
  /** Boot and start time where the system tells them (Linux), else empty: then the pid alone decides. */
  readonly started: string;
}

/** undefined when no such process runs. */
export async function markOf(pid: number): Promise<ProcessMark | undefined> {
  if (!exists(pid)) return undefined;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The command's name stands in parentheses and may hold blanks; what follows it is regular.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  // A zombie has ended; only its parent has not noticed yet.
  if (state === 'Z' || state === 'X') return undefined;
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return { pid, started: startTime === undefined ? '' : `${boot.trim()} ${startTime}` };
}

/** True while the very process that was marked runs. */
export async function isRunning(mark: ProcessMark): Promise<boolean> {
  const now = await markOf(mark.pid);
  return now !== undefined && now.started === mark.started;
}

export function parseMark(value: unknown): ProcessMark | undefined {
  if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value))
    return undefined;
  const { pid, started } = value;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 1) return undefined;
  return typeof started === 'string' ? { pid, started } : undefined;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, but as somebody else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
