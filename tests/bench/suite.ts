import type { Workload } from './measure.ts';

/** What `npm run bench -- <name>` runs. */
export interface Suite {
  readonly workloads: readonly Workload[];
  /** What was measured: programs and packages with their versions. */
  versions(): Promise<Readonly<Record<string, string>>>;
}
