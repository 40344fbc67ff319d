// Numbers that JavaScript does not hold as they are written: integers beyond 2^53, 1e400, 1.10. `JSON.rawJSON` and the
// source text that a reviver is told are ECMAScript 2026 (V8 has them since Node 22), and TypeScript does not know them yet.
interface RawJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
}
const raw = JSON as unknown as RawJson;

/**
 * Most texts have none of them, and reviving costs ten times the reading. Where a number may begin, so that ids and times
 * within strings are seldom taken for one.
 */
const mayBeInexact =
  /[0-9][0-9.]{15}|(?:^|[:,[\s])-?[0-9][0-9.]*[eE]|\.[0-9]*0(?![0-9])|(?:^|[:,[\s])-0(?![0-9.])/;

/**
 * As `JSON.parse`; a number that would be written otherwise than it was read is an object that `JSON.stringify` writes
 * as it was. For values that are only passed on: whoever counts with them wants `JSON.parse`. Throws on what is no JSON.
 */
export function parseExactly(text: string): unknown {
  if (!mayBeInexact.test(text)) return JSON.parse(text);
  return raw.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? raw.rawJSON(source)
      : value,
  );
}

/** True when a number somewhere in the value is one of those that `parseExactly` passes on. O(size) */
export function holdsExactNumbers(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  if (raw.isRawJSON(value)) return true;
  return Array.isArray(value) ? value.some(holdsExactNumbers) : Object.values(value).some(holdsExactNumbers);
}

/**
 * The number that `parseExactly` passes on as it is written: a bigint where it is an integer, so that no digit is lost,
 * else what JavaScript reads. Any other value is itself.
 */
export function numberOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !raw.isRawJSON(value)) return value;
  const text = JSON.stringify(value);
  return /^-?[1-9][0-9]*$/.test(text) ? BigInt(text) : Number(text);
}

/** Of the values on the way in, names that are deeper than any request has them are left as they are. */
const levelsMax = 64;

/**
 * Makes numbers of what `parseExactly` passes on, except within members called `kept`: whatever is counted with is read
 * as JavaScript reads it, however it is written. Changes the value itself.
 */
export function countable(value: unknown, kept: string, levelsLeft = levelsMax): unknown {
  if (typeof value !== 'object' || value === null || levelsLeft === 0) return value;
  if (raw.isRawJSON(value)) return Number(JSON.stringify(value));
  const members = value as Record<string, unknown>;
  for (const name of Object.keys(members))
    if (name !== kept) members[name] = countable(members[name], kept, levelsLeft - 1);
  return value;
}
