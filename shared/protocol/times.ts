const rfc3339Expression = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;

/** RFC 3339, as JSON Schema's pattern for times on input. */
export const timePattern = rfc3339Expression.source;

/** Latest time that is accepted (the year 2286): keeps sums of times and delays exact integers. */
export const timeMsMax = 9_999_999_999_999;

/**
 * Epoch milliseconds of a time on the wire: RFC 3339 text or epoch milliseconds.
 * @returns whole milliseconds, or undefined when `time` is neither; never throws; O(1)
 */
export function timeMs(time: string | number): number | undefined {
  if (typeof time === 'number')
    return Number.isFinite(time) && time >= 0 && time <= timeMsMax ? Math.floor(time) : undefined;
  if (!rfc3339Expression.test(time) || !isDay(time.slice(0, 10))) return undefined;
  const parsed = Date.parse(time.replace(' ', 'T'));
  return Number.isNaN(parsed) || parsed < 0 || parsed > timeMsMax ? undefined : parsed;
}

/** `Date.parse` rolls 30 February over into March; a day that does not exist is no time. */
function isDay(date: string): boolean {
  const midnight = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(date);
}

/** Times written lately: in one reply most are the same few, and writing one takes as long as finding twenty. */
const remembered = 64;
const rememberedMs = new Float64Array(remembered).fill(Number.NaN);
const rememberedText: string[] = Array.from({ length: remembered }, () => '');

/** RFC 3339 in UTC with milliseconds, as all replies carry times. */
export function formatTime(ms: number): string {
  const place = ms % remembered;
  if (rememberedMs[place] === ms) return rememberedText[place] ?? '';
  const text = new Date(ms).toISOString();
  rememberedMs[place] = ms;
  rememberedText[place] = text;
  return text;
}
