/** A duration on the wire: `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`, or whole milliseconds. */
export const durationPattern = '^[0-9]{1,12}(ms|s|m|h|d)$';

const durationExpression = new RegExp(durationPattern);

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Milliseconds of a duration.
 * @returns whole milliseconds from 0, or undefined when `text` is not a duration; never throws; O(1)
 */
export function durationMs(text: string | number): number | undefined {
  if (typeof text === 'number') return Number.isSafeInteger(text) && text >= 0 ? text : undefined;
  if (!durationExpression.test(text)) return undefined;
  const digits = Number.parseInt(text, 10);
  const unit = unitMs[text.replace(/^[0-9]+/, '')];
  return unit === undefined ? undefined : digits * unit;
}

/** The shortest way to write `ms` as a duration: 90000 is `"90s"`, 3600000 is `"1h"`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = unitMs[unit] ?? 1;
    if (ms > 0 && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}
