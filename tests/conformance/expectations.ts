import assert from 'node:assert/strict';

// The cases run outside of a test runner, too, so they bring the few expectations that they need.

/** What a value should be: an object names the fields that matter, a list all its places, a function judges itself. */
export type Expected = unknown;

/** Throws where `actual` is not as expected, and says where that is. */
export function expectLike(actual: unknown, expected: Expected, path = 'it'): void {
  if (typeof expected === 'function') {
    const judge = expected as (value: unknown) => boolean;
    assert.ok(judge(actual), `${path} is ${text(actual)}, not ${judge.name}`);
  } else if (Array.isArray(expected)) {
    assert.ok(Array.isArray(actual), `${path} is ${text(actual)}, not a list`);
    assert.equal(actual.length, expected.length, `${path} has ${actual.length} places: ${text(actual)}`);
    for (const [index, one] of expected.entries()) expectLike(actual[index], one, `${path}[${index}]`);
  } else if (typeof expected === 'object' && expected !== null) {
    assert.ok(typeof actual === 'object' && actual !== null, `${path} is ${text(actual)}, not an object`);
    const fields = actual as Readonly<Record<string, unknown>>;
    for (const [name, one] of Object.entries(expected)) expectLike(fields[name], one, `${path}.${name}`);
  } else {
    assert.deepEqual(actual, expected, `${path} is ${text(actual)}, not ${text(expected)}`);
  }
}

/** Throws unless both are the same in every field. */
export function expectEqual(actual: unknown, expected: unknown, what = 'it'): void {
  assert.deepEqual(actual, expected, `${what} is ${text(actual)}, not ${text(expected)}`);
}

export const aText = (value: unknown): boolean => typeof value === 'string' && value !== '';

/** RFC 3339 in UTC with milliseconds. */
export const aTime = (value: unknown): boolean =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value);

export const aCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

export const absent = (value: unknown): boolean => value === undefined;

const text = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 500);
