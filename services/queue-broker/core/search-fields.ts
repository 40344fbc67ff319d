import { decode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { searchTextLengthMax } from '#shared/protocol/limits.ts';

/** What is known of a payload. */
export interface SearchedPayload {
  readonly payload: Uint8Array;
  readonly payloadIsJson: boolean;
  readonly contentType?: string | undefined;
}

/**
 * The text of a payload's declared fields, by path: strings, numbers and booleans, the first 256 characters of each.
 * Made when an item is applied and not before: the log holds the payload, and the settings that were in force.
 * @returns undefined where nothing is declared, or the payload has none of it. O(payload) where something is
 */
export function searchFields(
  paths: readonly string[],
  { payload, payloadIsJson, contentType }: SearchedPayload,
): Readonly<Record<string, string>> | undefined {
  if (paths.length === 0) return undefined;
  const encoding = payloadIsJson ? json : contentType === undefined ? undefined : encodingOf(contentType);
  const decoded = encoding === undefined ? undefined : decode(payload, encoding);
  if (decoded?.ok !== true) return undefined;
  const fields: Record<string, string> = {};
  let found = false;
  for (const path of paths) {
    const text = textOf(valueAt(decoded.value, path));
    if (text === undefined) continue;
    fields[path] = text;
    found = true;
  }
  return found ? fields : undefined;
}

function valueAt(value: unknown, path: string): unknown {
  let at = value;
  for (const name of path.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[name];
  }
  return at;
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return wellFormed(value.slice(0, 2 * searchTextLengthMax));
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value);
  return undefined;
}

// Characters are counted and not halves of them, and a half that stands alone has no place in a row.
const wellFormed = (text: string): string =>
  Array.from(text.toWellFormed()).slice(0, searchTextLengthMax).join('');
