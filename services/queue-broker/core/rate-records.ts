import type { ClaimWindow, StoredRuns } from './claim-window.ts';
import type { Overlay } from './overlay.ts';

// The windows of rate limits as records: `rate/<queue>/<number>` of a queue, `rate/<queue>/<number>/<group>` of a
// group. A group's name comes last, since it may hold slashes.

const prefix = 'rate/';

/** Writes down what has changed of windows since the last time. */
export function keepWindows(windows: Set<ClaimWindow>, overlay: Overlay): void {
  for (const window of windows) {
    const { queue, group } = window;
    const suffix = group === undefined ? '' : `/${group}`;
    window.takeRecords((number, record) => overlay.putRecord(`${prefix}${queue}/${number}${suffix}`, record));
  }
  windows.clear();
}

/** What a record holds of which window; undefined for a record of another kind. */
export function readRateRecord(key: string, value: object) {
  if (!key.startsWith(prefix)) return undefined;
  const [, queue = '', number = ''] = key.split('/', 3);
  const start = prefix.length + queue.length + 1 + number.length;
  const group = key.length > start ? key.slice(start + 1) : undefined;
  return { queue, number: Number(number), group, stored: value as StoredRuns };
}
