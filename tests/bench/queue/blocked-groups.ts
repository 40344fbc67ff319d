import { setTimeout as delay } from 'node:timers/promises';
import type { Sample, Workload } from '#tests/bench/measure.ts';
import { clientOf, fsync } from './beside-bullmq.ts';
import { type Contestant, startTrivet } from './contestant.ts';

const callers = 4;
const settleMs = 1_000;
const max = 100;

export interface BlockedSizes {
  readonly blocked: number;
  readonly groups: number;
  readonly free: number;
}

/** Items of groups at their limit stand before free ones: how fast the free ones are had, beside a queue without the others. */
export const blockedGroups = (sizes: BlockedSizes): Workload => ({
  workload: 'blocked-groups',
  unit: 'items/s',
  durability: fsync,
  peerName: 'the same without the blocked items',
  notes:
    `${sizes.free} free items behind ${sizes.blocked} of ${sizes.groups} groups that have all the leases they may have (one); ` +
    `dequeued by ${callers} callers, up to ${max} a call`,
  open: async () => {
    const side = await startTrivet(1);
    return {
      ours: (round) => dequeued(side, `blocked-${round}`, sizes),
      peer: (round) => dequeued(side, `free-${round}`, { ...sizes, blocked: 0, groups: 0 }),
      close: () => side.stop(),
    };
  },
});

async function dequeued(side: Contestant, queue: string, sizes: BlockedSizes): Promise<Sample> {
  const { blocked, groups, free } = sizes;
  const client = clientOf(side, 0);
  await client.run('limit-groups', { queue, perGroup: 1 });
  if (groups > 0) {
    await client.run('fill', { queue, count: blocked, groups });
    // One of each group, and its lease is kept: asking for one more finds out that all are at their limit.
    const { items } = await client.run('drain', { queue, count: groups + 1, callers: 1, max: 1_000 });
    if (items !== groups)
      throw new Error(`${queue}: ${items} leases of ${groups} groups that may have one each`);
  }
  await client.run('fill', { queue, count: free });
  // The rows of what was filled in are written in the background: with more of them that takes longer.
  await delay(settleMs);
  const task = { queue, count: free, callers, max };
  const { value: drained, cpu } = await side.withCpu(free, () => client.run('drain', task));
  await side.check(queue, { waiting: blocked - groups, done: 0, leased: groups + free });
  return { value: free / drained.seconds, cpu };
}
