import { StringDecoder } from 'node:string_decoder';
import type { Trivet } from '#shared/client/client.ts';
import { type Encoding, decode, decodeExactly, encode, json, msgpack } from '#shared/protocol/encoding.ts';
import {
  type Refusal,
  type Result,
  TrivetError,
  accept,
  refuse,
  refuseField,
} from '#shared/protocol/errors.ts';
import { countable } from '#shared/protocol/exact-json.ts';
import { richValue } from '#shared/protocol/rich-values.ts';
import { formatTime, timeMs } from '#shared/protocol/times.ts';

// Namespaces as lines of JSON, one an entry:
//   {"namespace":"users","key":"1","value":{"name":"Ada"},"expiresAt":"2030-01-01T00:00:00.000Z"}
// What JSON cannot carry (dates, bytes, maps, sets, big integers) stands as `msgpack`, base64, in the place of `value`.

/** Lines of a file that are set together, and how many characters of them. */
const linesPerRound = 2_000;
const charactersPerRound = 16 * 1_048_576;

/** Entries that are read together. */
const keysPerRound = 500;

/** Refusals that are told one by one; the rest is counted. */
const toldMax = 20;

const fields = new Set([
  'namespace',
  'key',
  'value',
  'msgpack',
  'expiresAt',
  'ttl',
  'grace',
  'sliding',
  'tags',
]);

export interface ImportOptions {
  /** Of the lines that name none. */
  readonly namespace: string | undefined;
  /** Leaves alone what is there. */
  readonly ifAbsent: boolean;
  readonly nowMs: () => number;
  /** Hears of lines that were refused, by number and reason. */
  readonly told: (line: string) => void;
}

export interface Imported {
  readonly imported: number;
  /** Had expired before they were read. */
  readonly expired: number;
  /** Were there already (with `ifAbsent`). */
  readonly present: number;
  readonly refused: number;
}

interface ImportLine {
  readonly number: number;
  readonly namespace: string;
  readonly key: string;
  readonly value: unknown;
  readonly encoding: Encoding;
  readonly options: object;
}

/**
 * The lines of a file. Only a line feed ends one: the library's own reader also ends them at U+2028 and U+2029, which
 * stand in JSON as they are.
 */
export async function* linesOf(input: AsyncIterable<Buffer | string>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  for await (const chunk of input) {
    const [first = '', ...more] = (typeof chunk === 'string' ? chunk : decoder.write(chunk)).split('\n');
    parts.push(first);
    for (const next of more) {
      yield parts.join('');
      parts = [next];
    }
  }
  const last = parts.join('') + decoder.end();
  if (last !== '') yield last;
}

/** Sets what the lines say, some thousands at a time. A line that is refused does not hold up its neighbours. */
export async function importLines(
  trivet: Trivet,
  lines: AsyncIterable<string>,
  options: ImportOptions,
): Promise<Imported> {
  const counts = { imported: 0, expired: 0, present: 0, refused: 0 };
  const refused = (line: number, { code, message }: Refusal) => {
    counts.refused += 1;
    if (counts.refused <= toldMax) options.told(`line ${line}: ${code}: ${message}`);
  };
  let waiting: ImportLine[] = [];
  let characters = 0;
  let number = 0;
  const send = async () => {
    const sent = waiting;
    waiting = [];
    characters = 0;
    const outcomes = await Promise.all(sent.map((line) => setLine(trivet, line, options.ifAbsent)));
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.ok) counts.imported += 1;
      else if (options.ifAbsent && outcome.error.code === 'conflict') counts.present += 1;
      else refused(sent[index]?.number ?? 0, outcome.error);
    }
  };
  for await (const text of lines) {
    number += 1;
    if (text.trim() === '') continue;
    const read = readLine(text, number, options);
    if (!read.ok) refused(number, read.error);
    else if (read.value === 'expired') counts.expired += 1;
    else {
      waiting.push(read.value);
      characters += text.length;
    }
    if (waiting.length >= linesPerRound || characters >= charactersPerRound) await send();
  }
  await send();
  return counts;
}

async function setLine(trivet: Trivet, line: ImportLine, ifAbsent: boolean): Promise<Result<unknown>> {
  const { namespace, key, value, encoding, options } = line;
  try {
    const cache = trivet.cache(namespace, { encoding });
    return accept(await cache.set(key, value, ifAbsent ? { ...options, ifAbsent } : options));
  } catch (error) {
    // No node at all is no fault of the line: it ends the import.
    if (error instanceof TrivetError && !error.retryable)
      return refuse(error.code, error.message.slice(error.code.length + 2));
    throw error;
  }
}

function readLine(text: string, number: number, options: ImportOptions): Result<ImportLine | 'expired'> {
  const decoded = decodeExactly(Buffer.from(text), json);
  if (!decoded.ok) return decoded;
  const line = countable(decoded.value, 'value');
  if (typeof line !== 'object' || line === null || Array.isArray(line))
    return refuseField('line', 'must be an object');
  const {
    namespace = options.namespace,
    key,
    value,
    msgpack: packed,
    expiresAt,
    ttl,
    ...rest
  } = line as Line;
  const unknown = Object.keys(line).find((field) => !fields.has(field));
  if (unknown !== undefined) return refuseField(unknown, 'is not a known field');
  if (namespace === undefined) return refuseField('namespace', 'is missing, and --namespace names none');
  if (typeof namespace !== 'string') return refuseField('namespace', 'must be a string');
  if (typeof key !== 'string') return refuseField('key', 'must be a string');
  const read = readValue(value, packed);
  if (!read.ok) return read;
  const left = ttlOf(expiresAt, ttl, options.nowMs());
  if (!left.ok) return left;
  if (left.value === 'expired') return accept('expired');
  const given = left.value === undefined ? rest : { ...rest, ttl: left.value };
  return accept({ number, namespace, key, ...read.value, options: given });
}

interface Line {
  readonly namespace?: unknown;
  readonly key?: unknown;
  readonly value?: unknown;
  readonly msgpack?: unknown;
  readonly expiresAt?: unknown;
  readonly ttl?: string | number;
}

function readValue(value: unknown, packed: unknown): Result<Pick<ImportLine, 'value' | 'encoding'>> {
  if (packed === undefined)
    return value === undefined ? refuseField('value', 'is missing') : accept({ value, encoding: json });
  if (typeof packed !== 'string') return refuseField('msgpack', 'must be base64');
  const decoded = decode(Buffer.from(packed, 'base64'), msgpack);
  if (!decoded.ok || decoded.value === undefined)
    return refuseField('msgpack', 'is not MessagePack in base64');
  return accept({ value: decoded.value, encoding: msgpack });
}

/** What is left of a life that was given as its end; a `ttl` begins now. */
function ttlOf(
  expiresAt: unknown,
  ttl: string | number | undefined,
  nowMs: number,
): Result<string | number | undefined> {
  if (expiresAt === undefined) return accept(ttl);
  if (ttl !== undefined) return refuseField('expiresAt', 'cannot stand beside ttl');
  const at = typeof expiresAt === 'string' || typeof expiresAt === 'number' ? timeMs(expiresAt) : undefined;
  if (at === undefined) return refuseField('expiresAt', 'must be a time such as 2030-01-01T00:00:00Z');
  return accept(at <= nowMs ? 'expired' : Math.ceil(at - nowMs));
}

/** Writes every entry of a namespace that is not stale, as lines; returns how many. */
export async function exportLines(
  trivet: Trivet,
  namespace: string,
  { prefix, nowMs, write }: ExportOptions,
): Promise<number> {
  const cache = trivet.cache(namespace, { encoding: msgpack });
  const asJson = trivet.cache(namespace);
  // Text that is not Unicode (half of an emoji) only JSON carries: one such value must not end the export.
  const entryOf = (key: string) =>
    cache.getEntry(key).catch((error: unknown) => {
      if (error instanceof TrivetError && error.code === 'wrong_state') return asJson.getEntry(key);
      throw error;
    });
  let exported = 0;
  let cursor: string | undefined;
  do {
    const page = await cache.keysPage({
      limit: keysPerRound,
      ...(prefix === undefined ? {} : { prefix }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    // They share messages, and what does not fit into one reply is asked for alone.
    const entries = await Promise.all(page.keys.map(entryOf));
    for (const [index, entry] of entries.entries()) {
      if (entry === undefined || entry.stale === true) continue;
      const { value, ttlMs } = entry;
      const end = ttlMs === undefined ? {} : { expiresAt: formatTime(nowMs() + ttlMs) };
      await write(`${JSON.stringify({ namespace, key: page.keys[index], ...valueField(value), ...end })}\n`);
      exported += 1;
    }
    ({ cursor } = page);
  } while (cursor !== undefined);
  return exported;
}

export interface ExportOptions {
  readonly prefix: string | undefined;
  readonly nowMs: () => number;
  /** Resolves when there is room for more. */
  readonly write: (line: string) => Promise<void>;
}

const valueField = (value: unknown): object =>
  isJson(value) ? { value } : { msgpack: Buffer.from(encode(richValue(value), msgpack)).toString('base64') };

/** True for what comes back from JSON as it was. */
function isJson(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0);
  if (Array.isArray(value)) return value.every(isJson);
  return (
    typeof value === 'object' &&
    Object.getPrototypeOf(value) === Object.prototype &&
    Object.values(value).every(isJson)
  );
}
