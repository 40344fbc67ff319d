// Numbers that JavaScript does not hold as they are written: integers beyond 2^53, 1e400, 1.10. `JSON.rawJSON` and the
// source text that a reviver is told are ECMAScript 2026 (V8 has them since Node 22), and TypeScript does not know them yet.
interface RawJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
}
const raw = JSON as unknown as RawJson;

/** Most texts have none of them, and reviving costs ten times the reading. */
const mayBeInexact = /[0-9]{16}|[0-9][eE]|\.[0-9]*0(?![0-9])|-0/;

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
