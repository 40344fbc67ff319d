import { cpus, totalmem, type as osType, release } from 'node:os';

/** What one run of one side gave. */
export interface Sample {
  /** Rate per second, or milliseconds, by the workload's unit. */
  readonly value: number;
  readonly p50?: number;
  readonly p99?: number;
  /** Resident memory of what serves, in MiB. */
  readonly rssMiB?: number;
}

/** One workload, ours and the peer's. Rounds of the two alternate, so that both see the same machine. */
export interface Workload {
  readonly workload: string;
  readonly unit: 'items/s' | 'ms';
  /** When our answer counts as given. */
  readonly durability: string;
  readonly peerName?: string;
  readonly ours: (round: number) => Promise<Sample>;
  readonly peer?: (round: number) => Promise<Sample>;
  readonly notes?: string;
}

/** As docs and scripts read it; figures are medians over the rounds, and more is always better for `ratio`. */
export interface Result {
  readonly workload: string;
  readonly unit: string;
  readonly durability?: string;
  readonly ours: number;
  readonly peer?: number;
  readonly peerName?: string;
  readonly ratio?: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly peerP50?: number;
  readonly peerP99?: number;
  readonly rssMiB?: number;
  readonly notes?: string;
}

/** Runs every workload: one round to warm up, which is thrown away, then `rounds` that count. */
export async function measure(workloads: readonly Workload[], rounds: number): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const workload of workloads) {
    const ours: Sample[] = [];
    const peers: Sample[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const own = await workload.ours(round);
      const other = await workload.peer?.(round);
      console.error(
        `${workload.workload} round ${round}${round === 0 ? ' (warm-up)' : ''}: ${format(own.value)}${other === undefined ? '' : ` · ${workload.peerName} ${format(other.value)}`} ${workload.unit}`,
      );
      if (round === 0) continue;
      ours.push(own);
      if (other !== undefined) peers.push(other);
    }
    results.push(resultOf(workload, ours, peers));
  }
  return results;
}

function resultOf(workload: Workload, ours: readonly Sample[], peers: readonly Sample[]): Result {
  const own = median(ours.map((one) => one.value)) ?? 0;
  const peer = median(peers.map((one) => one.value));
  const ratio = peer === undefined ? undefined : workload.unit === 'ms' ? peer / own : own / peer;
  return {
    workload: workload.workload,
    unit: workload.unit,
    durability: workload.durability,
    ours: round(own),
    ...given('peer', peer),
    ...(workload.peerName === undefined ? {} : { peerName: workload.peerName }),
    ...given('ratio', ratio),
    ...given('p50', median(ours.map((one) => one.p50))),
    ...given('p99', median(ours.map((one) => one.p99))),
    ...given('peerP50', median(peers.map((one) => one.p50))),
    ...given('peerP99', median(peers.map((one) => one.p99))),
    ...given('rssMiB', median(ours.map((one) => one.rssMiB))),
    ...(workload.notes === undefined ? {} : { notes: workload.notes }),
  };
}

/** The machine that the figures belong to. */
export const machine = () => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 1_024 ** 3),
  os: `${osType()} ${release()}`,
});

export function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (known.length === 0) return undefined;
  const middle = (known.length - 1) / 2;
  return ((known[Math.floor(middle)] ?? 0) + (known[Math.ceil(middle)] ?? 0)) / 2;
}

/** The value below which `share` of `sorted` lies. */
export const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

const round = (value: number): number => Math.round(value * 100) / 100;
const format = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 1 });
const given = <K extends string>(name: K, value: number | undefined): { readonly [N in K]?: number } =>
  value === undefined ? {} : ({ [name]: round(value) } as { readonly [N in K]?: number });

/** Runs `count` calls by `callers` callers, each one call at a time; the rate, and how long single calls took. */
export async function callersAtOnce(
  count: number,
  callers: number,
  call: (index: number) => Promise<unknown>,
): Promise<Sample> {
  const durations: number[] = [];
  let next = 0;
  const started = performance.now();
  const caller = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const at = performance.now();
      await call(index);
      durations.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = (performance.now() - started) / 1_000;
  durations.sort((a, b) => a - b);
  return { value: count / seconds, p50: percentile(durations, 0.5), p99: percentile(durations, 0.99) };
}
