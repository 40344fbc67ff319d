import type { Clock } from '#shared/runtime/clock.ts';
import type { Fence } from './core/facts.ts';
import type { PartitionTable } from './core/partition-table.ts';
import { encodeFence } from './fact-codec.ts';
import { FencedError, type PartitionLog } from './partition-log.ts';

/**
 * Lets the owner raise a fence over its own: a new epoch of the same owner. No record may be under way.
 * Leases do not begin anew, as they do with a new owner: a busy log is truncated every few seconds, and the leases of
 * dead workers would never end.
 * @returns the fence's record. Throws `FencedError` when the partition has another owner by now
 */
export async function renewFence(options: {
  readonly broker: string;
  readonly clock: Clock;
  readonly records: PartitionLog;
  readonly table: PartitionTable;
}): Promise<Uint8Array> {
  const { broker, clock, records, table } = options;
  const fence: Fence = { version: 1, broker, at: Math.max(clock.nowMs(), table.appliedAt), renewed: true };
  const data = encodeFence(fence);
  const sequence = await records.raiseFence(data, table.epoch);
  if (sequence !== table.appliedSequence + 1)
    throw new FencedError(`the fence stands at ${sequence}, the log ended at ${table.appliedSequence}`);
  table.beginEpoch(sequence, fence);
  return data;
}
