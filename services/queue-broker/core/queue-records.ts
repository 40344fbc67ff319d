import type { StoredSettings } from './queue-settings.ts';

// Besides items, payloads and keys the table holds records: plain data by a key of words with slashes, such as what
// was configured for a queue. They are few and read once, at start.

const prefix = 'queue/';

export const queueRecordKey = (queue: string): string => `${prefix}${queue}`;

const logPrefix = 'log/';

/** Where lines that were logged for an item stand. */
export const logChunkKey = (order: number, chunk: number): string => `${logPrefix}${order}/${chunk}`;

/** Records of the others, which are not read at start: there may be many of them, and each is asked for by its key. */
export const recordsOnDemand = { from: logPrefix, to: 'log0' } as const;

/** What is kept of a queue that was paused or configured; undefined for a record of another kind. */
export function readQueueRecord(key: string, value: object) {
  if (!key.startsWith(prefix)) return undefined;
  const { paused, settings } = value as { readonly paused: boolean; readonly settings: StoredSettings };
  return { queue: key.slice(prefix.length), paused, settings };
}
