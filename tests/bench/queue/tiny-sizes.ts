import type { QueueSizes } from './queue-suite.ts';

/** Enough to walk every path of a workload, and nothing to be measured by. */
export const tinySizes: QueueSizes = {
  single: 400,
  batch: 1_000,
  process: 400,
  pickup: 100,
  workers: 400,
  backlog: { many: 2_000, few: 100, count: 100 },
  blocked: { blocked: 400, groups: 20, free: 200 },
};
