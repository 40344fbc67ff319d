import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOf } from '#tests/services/cli/started-cluster.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';

/** What may be struck. The names are what stands in the command lines of the processes. */
export const victims = [
  'queue-broker',
  'cache-node',
  'telemetry-collector',
  'gateway',
  'nats-server',
] as const;
export type Victim = (typeof victims)[number];

const pauseMs = { min: 1_500, max: 4_000 };
const freezeMs = { min: 500, max: 6_000 };
/** Of blows, how many freeze a process instead of ending it. */
const freezes = 0.3;

export interface Blow {
  readonly victim: Victim;
  readonly kind: 'killed' | 'frozen';
}

/** Strikes one process of the cluster after the other, until it is told to stop. Nothing stays frozen. */
export async function strike(
  dir: string,
  random: SeededRandom,
  stopped: AbortSignal,
  report: (blow: Blow) => void,
): Promise<void> {
  while (!stopped.aborted) {
    await delay(random.integer(pauseMs.min, pauseMs.max), undefined, { signal: stopped }).catch(() => 0);
    if (stopped.aborted) return;
    const victim = random.pick(victims);
    const frozen = random.chance(freezes);
    const forMs = random.integer(freezeMs.min, freezeMs.max);
    const found = await pidsOf(dir, victim);
    // It may be gone already, or not yet there again.
    if (found.length === 0) continue;
    const pid = random.pick(found);
    report({ victim, kind: frozen ? 'frozen' : 'killed' });
    if (!frozen) {
      signal(pid, 'SIGKILL');
      continue;
    }
    signal(pid, 'SIGSTOP');
    await delay(forMs);
    signal(pid, 'SIGCONT');
  }
}

async function pidsOf(dir: string, victim: Victim): Promise<readonly number[]> {
  const pids = await processesOf(dir);
  const commands = await Promise.all(
    pids.map(async (pid) => (await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')).split('\0')),
  );
  // A service is a module that Node runs, nats-server a program of its own.
  const isOf = (command: readonly string[]): boolean =>
    victim === 'nats-server'
      ? command[0]?.endsWith('nats-server') === true
      : command.some((word) => word.endsWith(`services/${victim}/main.ts`));
  return pids.filter((_, index) => isOf(commands[index] ?? []));
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone meanwhile: the supervisor has ended it, or it never was there for long.
  }
}
