import { type Refusal, refuse } from '#shared/protocol/errors.ts';
import type { PartitionTable } from './partition-table.ts';
import type { QueueSettings } from './queue-settings.ts';

/** What somebody wants to add to a queue. */
export interface Addition {
  readonly items: number;
  readonly bytes: number;
}

/**
 * Why a queue has no room for more items (`maxSize`, `maxBytes`), or undefined when it has. What comes back into the
 * line (retries, `release`, `replay`) is never asked, nor what is durable already (plain publishes).
 */
export function fullQueue(table: PartitionTable, name: string, adds: Addition): Refusal | undefined {
  if (!hasRoomLimits(table, name)) return undefined;
  const { itemsMax, bytesMax } = table.settingsOf(name);
  const queue = table.queue(name);
  const items = queue?.waitingCount ?? 0;
  const bytes = queue?.waitingBytes ?? 0;
  if (itemsMax !== undefined && items + adds.items > itemsMax)
    return refuse('queue_full', `queue ${name} holds ${items} items of at most ${itemsMax}`, {
      queue: name,
      limit: 'maxSize',
      maxSize: itemsMax,
      size: items,
      adds: adds.items,
    }).error;
  if (bytesMax !== undefined && bytes + adds.bytes > bytesMax)
    return refuse('queue_full', `queue ${name} holds ${bytes} bytes of at most ${bytesMax}`, {
      queue: name,
      limit: 'maxBytes',
      maxBytes: bytesMax,
      bytes,
      adds: adds.bytes,
    }).error;
  return undefined;
}

/** True when the queue's size is limited at all. */
export function hasRoomLimits(table: PartitionTable, name: string): boolean {
  const { itemsMax, bytesMax } = table.settingsOf(name);
  return itemsMax !== undefined || bytesMax !== undefined;
}

/** Why a payload is refused in a queue with these settings, or undefined. */
export function tooLarge(
  { length }: Uint8Array,
  { payloadBytesMax }: Pick<QueueSettings, 'payloadBytesMax'>,
): Refusal | undefined {
  if (length <= payloadBytesMax) return undefined;
  const problem = `payload has ${length} bytes, the most is ${payloadBytesMax}`;
  return refuse('payload_too_large', problem, { field: 'payload' }).error;
}
