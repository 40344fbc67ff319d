import { adminCases } from './admin.contract.ts';
import { lifecycleCases } from './lifecycle.contract.ts';
import { ruleCases } from './rules.contract.ts';
import type { ConformanceCase, Target } from './target.ts';
import { timeCases } from './time.contract.ts';

/** The protocol of the queue, behaviour by behaviour. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...lifecycleCases,
  ...timeCases,
  ...adminCases,
  ...ruleCases,
];

/** Runs one case on a queue of its own, and removes what it leaves. */
export async function runCase(target: Target, one: ConformanceCase, queue: string): Promise<void> {
  try {
    await one.run(target, queue);
  } finally {
    for (const name of [queue, `${queue}-parts`]) await target.ask(name, 'purge', { all: true });
  }
}
