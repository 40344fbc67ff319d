/** How long to wait before a process that ended by itself is started again. Pure. */
export interface CrashHistory {
  /** Crashes since it last ran well for `healthyAfterMs`. */
  readonly crashesInARow: number;
}

export const neverCrashed: CrashHistory = { crashesInARow: 0 };

const firstDelayMs = 200;
const delayMsMax = 10_000;
// A process that served for a minute has got over whatever made it crash; its next crash is a first one.
const healthyAfterMs = 60_000;

/**
 * @param ranMs how long it ran before this crash
 * @returns the delay (200 ms, doubled with each crash in a row, at most 10 s) and the history to keep
 */
export function afterCrash(
  history: CrashHistory,
  ranMs: number,
): { readonly delayMs: number; readonly history: CrashHistory } {
  const crashesInARow = ranMs >= healthyAfterMs ? 1 : history.crashesInARow + 1;
  return {
    delayMs: Math.min(firstDelayMs * 2 ** (crashesInARow - 1), delayMsMax),
    history: { crashesInARow },
  };
}
