// How a workload is measured: rounds of the two sides by turns, medians, and what a result says.

export type Figures = Readonly<Record<string, number>>;

/** What one run of one side gave. */
export interface Sample {
  /** By the workload's unit. */
  readonly value: number;
  /** Milliseconds. */
  readonly p50?: number;
  readonly p99?: number;
  /** Anonymous memory of what serves, in MiB. */
  readonly rssMiB?: number;
  /** Microseconds of CPU that one item cost, by process: steadier than rates where others use the machine, too. */
  readonly cpu?: Figures;
  /** Whatever else is worth a line, by what it is called there. */
  readonly figures?: Figures;
}

export interface Workload {
  readonly workload: string;
  /** `×` is a factor: how many times a figure is that of the run beside it. */
  readonly unit: 'items/s' | 'ms' | '×' | 'bytes' | '% hits';
  /** When an answer of ours counts as given. */
  readonly durability: string;
  /** What stands beside ours, with its own durability. */
  readonly peerName?: string;
  readonly notes: string;
  /** Starts what the workload needs, for all its rounds. */
  open(): Promise<Sides>;
}

/** Rounds of the two alternate, so that both see the same machine; so does who begins, as a round leaves things behind. */
export interface Sides {
  readonly ours: (round: number) => Promise<Sample>;
  readonly peer?: (round: number) => Promise<Sample>;
  readonly close: () => Promise<void>;
}

/** As docs and scripts read it; figures are medians over the rounds, and more is always better for `ratio`. */
export interface Result {
  readonly workload: string;
  readonly unit: string;
  readonly durability: string;
  readonly ours: number;
  readonly peer?: number;
  readonly peerName?: string;
  readonly ratio?: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly peerP50?: number;
  readonly peerP99?: number;
  readonly rssMiB?: number;
  readonly notes: string;
}

/** A workload that could not be measured, and why. */
export interface Failure {
  readonly workload: string;
  readonly problem: string;
}

export interface Measured {
  readonly results: readonly Result[];
  readonly failures: readonly Failure[];
}

/** Rounds that do not count: programs of ours are compiled while they run, and are at their speed after some seconds. */
const warmUps = 2;

/** Runs every workload: some rounds to warm up, which are thrown away, then `rounds` that count. */
export async function measure(
  workloads: readonly Workload[],
  rounds: number,
  progress: (line: string) => void,
): Promise<Measured> {
  const results: Result[] = [];
  const failures: Failure[] = [];
  for (const workload of workloads) {
    try {
      results.push(await measureOne(workload, rounds, progress));
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      failures.push({ workload: workload.workload, problem });
      progress(`${workload.workload} FAILED: ${problem}`);
    }
  }
  return { results, failures };
}

async function measureOne(
  workload: Workload,
  rounds: number,
  progress: (line: string) => void,
): Promise<Result> {
  const sides = await workload.open();
  const ours: Sample[] = [];
  const peers: Sample[] = [];
  try {
    for (let round = 0; round < warmUps + rounds; round += 1) {
      const { own, peer } = await measureRound(sides, round);
      progress(roundLine(workload, round, own, peer));
      if (round < warmUps) continue;
      ours.push(own);
      if (peer !== undefined) peers.push(peer);
    }
  } finally {
    await sides.close();
  }
  return resultOf(workload, ours, peers);
}

/** The two sides begin by turns; with an even number of rounds each begins as often as the other. */
async function measureRound(
  { ours, peer }: Sides,
  round: number,
): Promise<{ readonly own: Sample; readonly peer: Sample | undefined }> {
  if (peer === undefined || round % 2 === 0) return { own: await ours(round), peer: await peer?.(round) };
  const first = await peer(round);
  return { own: await ours(round), peer: first };
}

function resultOf(workload: Workload, ours: readonly Sample[], peers: readonly Sample[]): Result {
  const { unit, peerName } = workload;
  const own = medianOf(ours, 'value') ?? 0;
  const peer = medianOf(peers, 'value');
  return {
    workload: workload.workload,
    unit,
    durability: workload.durability,
    ours: rounded(own),
    ...given('peer', peer),
    ...(peerName === undefined ? {} : { peerName }),
    ...given('ratio', peer === undefined ? undefined : isMoreBetter(unit) ? own / peer : peer / own),
    ...given('p50', medianOf(ours, 'p50')),
    ...given('p99', medianOf(ours, 'p99')),
    ...given('peerP50', medianOf(peers, 'p50')),
    ...given('peerP99', medianOf(peers, 'p99')),
    ...given('rssMiB', medianOf(ours, 'rssMiB')),
    notes: [
      workload.notes,
      ...figuresNote('CPU µs an item', ours, 'cpu'),
      ...figuresNote(`${peerName ?? 'peer'}, CPU µs an item`, peers, 'cpu'),
      ...figuresNote('ours', ours, 'figures'),
      ...figuresNote(peerName ?? 'peer', peers, 'figures'),
    ].join('; '),
  };
}

const isMoreBetter = (unit: Workload['unit']): boolean => unit === 'items/s' || unit === '% hits';

/** The medians of every named figure of the samples, as at most one phrase. */
function figuresNote(title: string, samples: readonly Sample[], kind: 'cpu' | 'figures'): readonly string[] {
  const names = Object.keys(samples[0]?.[kind] ?? {});
  if (names.length === 0) return [];
  const said = names.map(
    (name) => `${name} ${rounded(median(samples.map((one) => one[kind]?.[name])) ?? 0)}`,
  );
  return [`${title}: ${said.join(', ')}`];
}

function roundLine(workload: Workload, round: number, own: Sample, peer: Sample | undefined): string {
  const format = ({ value, p50, p99, cpu }: Sample): string => {
    const times = p99 === undefined ? '' : ` (p50 ${rounded(p50 ?? 0)} ms, p99 ${rounded(p99)} ms)`;
    const costs = Object.entries(cpu ?? {}).map(([name, micros]) => `${name} ${rounded(micros)} µs`);
    return `${value.toLocaleString('en', { maximumFractionDigits: 2 })} ${workload.unit}${times}${costs.length === 0 ? '' : ` [${costs.join(', ')}]`}`;
  };
  const title = `${workload.workload} round ${round}${round < warmUps ? ' (warm-up)' : ''}`;
  return `${title}: ${format(own)}${peer === undefined ? '' : ` · ${workload.peerName}: ${format(peer)}`}`;
}

const medianOf = (
  samples: readonly Sample[],
  field: 'value' | 'p50' | 'p99' | 'rssMiB',
): number | undefined => median(samples.map((one) => one[field]));

export function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (known.length === 0) return undefined;
  const middle = (known.length - 1) / 2;
  return ((known[Math.floor(middle)] ?? 0) + (known[Math.ceil(middle)] ?? 0)) / 2;
}

/** The value below which `share` of `sorted` lies. */
export const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

/** Two decimals say enough; a figure below one keeps three, since a latency may be that short. */
const rounded = (value: number): number =>
  Math.abs(value) < 1 ? Math.round(value * 1_000) / 1_000 : Math.round(value * 100) / 100;

const given = <K extends string>(name: K, value: number | undefined): { readonly [N in K]?: number } =>
  value === undefined ? {} : ({ [name]: rounded(value) } as { readonly [N in K]?: number });
