import type { Enqueued } from './core/facts.ts';
import { RowReader, RowWriter } from './row-bytes.ts';
import { readBackoff, readTexts, writeBackoff, writeTexts } from './row-parts.ts';

// An `enqueued` fact of an item without anything special about it, as the log holds it: bytes instead of a map. A log
// is mostly these, and the names of their fields would be half of it and of the work of writing it.

const version = 1;
const writer = new RowWriter();

/** Which optional fields there are, as bits; they stand in this order. */
const has = {
  runAt: 1,
  timeoutMs: 2,
  expiresAt: 4,
  group: 8,
  key: 16,
  dedupUntil: 32,
  contentType: 64,
  headers: 128,
  payloadIsJson: 256,
} as const;

type PlainField =
  'kind' | 'order' | 'queue' | 'band' | 'attemptsMax' | 'backoff' | 'payload' | keyof typeof has;

/** The fields that make an item special. The type keeps a new field of the fact from being forgotten here. */
const special: Readonly<Record<Exclude<keyof Enqueued, PlainField>, true>> = {
  supersedes: true,
  refused: true,
  blocked: true,
  parent: true,
  family: true,
  member: true,
};
const specialFields = Object.keys(special) as (keyof typeof special)[];

/** The bytes of the fact, or undefined when it has a field that they have no place for. */
export function encodePlainItem(fact: Enqueued): Uint8Array | undefined {
  for (const field of specialFields) if (fact[field] !== undefined) return undefined;
  writer.begin();
  writer.uint(version);
  writer.uint(flagsOf(fact));
  writer.uint(fact.order);
  writer.text(fact.queue);
  writer.uint(fact.band);
  writer.uint(fact.attemptsMax);
  writeBackoff(writer, fact.backoff);
  writer.bytes(fact.payload);
  if (fact.runAt !== undefined) writer.uint(fact.runAt);
  if (fact.timeoutMs !== undefined) writer.uint(fact.timeoutMs);
  if (fact.expiresAt !== undefined) writer.uint(fact.expiresAt);
  if (fact.group !== undefined) writer.text(fact.group);
  if (fact.key !== undefined) writer.text(fact.key);
  if (fact.dedupUntil !== undefined) writer.uint(fact.dedupUntil);
  if (fact.contentType !== undefined) writer.text(fact.contentType);
  if (fact.headers !== undefined) writeTexts(writer, fact.headers);
  return writer.end();
}

function flagsOf(fact: Enqueued): number {
  let flags = fact.payloadIsJson ? has.payloadIsJson : 0;
  if (fact.runAt !== undefined) flags |= has.runAt;
  if (fact.timeoutMs !== undefined) flags |= has.timeoutMs;
  if (fact.expiresAt !== undefined) flags |= has.expiresAt;
  if (fact.group !== undefined) flags |= has.group;
  if (fact.key !== undefined) flags |= has.key;
  if (fact.dedupUntil !== undefined) flags |= has.dedupUntil;
  if (fact.contentType !== undefined) flags |= has.contentType;
  if (fact.headers !== undefined) flags |= has.headers;
  return flags;
}

/** Throws on bytes that are damaged or newer than this broker. */
export function decodePlainItem(bytes: Uint8Array): Enqueued {
  const row = new RowReader(bytes);
  const written = row.uint();
  if (written !== version)
    throw new Error(`an enqueued item has version ${written}, this broker reads ${version}`);
  const flags = row.uint();
  // In the order in which they were written: literals are evaluated from top to bottom.
  return {
    kind: 'enqueued',
    order: row.uint(),
    queue: row.text(),
    band: row.uint(),
    attemptsMax: row.uint(),
    backoff: readBackoff(row),
    payload: row.bytes(),
    payloadIsJson: (flags & has.payloadIsJson) !== 0,
    ...(flags & has.runAt ? { runAt: row.uint() } : {}),
    ...(flags & has.timeoutMs ? { timeoutMs: row.uint() } : {}),
    ...(flags & has.expiresAt ? { expiresAt: row.uint() } : {}),
    ...(flags & has.group ? { group: row.text() } : {}),
    ...(flags & has.key ? { key: row.text() } : {}),
    ...(flags & has.dedupUntil ? { dedupUntil: row.uint() } : {}),
    ...(flags & has.contentType ? { contentType: row.text() } : {}),
    ...(flags & has.headers ? { headers: readTexts(row) } : {}),
  };
}
