import { isUtf8 } from 'node:buffer';
import { json } from '#shared/protocol/encoding.ts';
import { JsonScanner } from '#shared/protocol/json-scanner.ts';
import { KeptValue } from './kept-value.ts';

/** A set as it stands in a request: its value kept, all other members read. */
type JsonSet = Record<string, unknown>;

/**
 * The body of a `set` or a `set-many` in JSON, without reading its values. Only for requests without a fault in their
 * form: every other one, and what is merely unusual, is undefined here and left to the decoder.
 * Never throws; O(bytes).
 */
export function readJsonSets(body: Uint8Array, operation: 'set' | 'set-many'): unknown {
  if (!isUtf8(body)) return undefined;
  // What is cut from a plain array costs half of what is cut from a Buffer.
  const scanner = new JsonScanner(new Uint8Array(body.buffer, body.byteOffset, body.length));
  const read = operation === 'set' ? readSet(scanner) : readItems(scanner);
  return scanner.isAtEnd ? read : undefined;
}

function readItems(scanner: JsonScanner): { readonly items: readonly JsonSet[] } | undefined {
  if (!scanner.openObject() || !scanner.isNamed(itemsName) || !scanner.openList()) return undefined;
  const items: JsonSet[] = [];
  do {
    const item = readSet(scanner);
    if (item === undefined) return undefined;
    items.push(item);
  } while (scanner.comma());
  return scanner.closeList() && scanner.closeObject() ? { items } : undefined;
}

const [itemsName, keyName, valueName] = ['items', 'key', 'value'].map((name) => Buffer.from(`"${name}"`)) as [
  Buffer,
  Buffer,
  Buffer,
];

/** Members that a set may have besides; another one is refused, which is not for us to do. */
const optionNames = new Set(['ttl', 'sliding', 'grace', 'tags', 'ifAbsent', 'ifVersion', 'loadToken']);

function readSet(scanner: JsonScanner): JsonSet | undefined {
  if (!scanner.openObject()) return undefined;
  const set: JsonSet = { key: undefined, value: undefined };
  do {
    const name = nameOf(scanner);
    // Of members of the same name the last one counts: rare enough to be left to the decoder.
    if (name === undefined || set[name] !== undefined) return undefined;
    if (name === 'key') {
      set[name] = scanner.plainText();
      if (set[name] === undefined) return undefined;
      continue;
    }
    const start = scanner.value();
    if (start < 0) return undefined;
    const bytes = scanner.bytes.subarray(start, scanner.at);
    set[name] =
      name === 'value' ? new KeptValue({ encoding: json, bytes, rawBytes: 0 }) : JSON.parse(textOf(bytes));
  } while (scanner.comma());
  const isWhole = set['key'] !== undefined && set['value'] !== undefined;
  return isWhole && scanner.closeObject() ? set : undefined;
}

function nameOf(scanner: JsonScanner): string | undefined {
  if (scanner.isNamed(keyName)) return 'key';
  if (scanner.isNamed(valueName)) return 'value';
  const name = scanner.name();
  return name !== undefined && optionNames.has(name) ? name : undefined;
}

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
