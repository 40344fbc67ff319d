import type { Enqueued, Fact } from './core/facts.ts';
import { isSameBackoff } from './core/retry-policy.ts';
import { RowReader, RowWriter } from './row-bytes.ts';
import { readBackoff, writeBackoff } from './row-parts.ts';

// `enqueued` facts that follow each other and differ in nothing but payload and band, as the log holds them: what they
// have in common once, and then these two. The log of a busy queue is mostly that.

/** Their first byte. One plain item alone (`plain-item-codec.ts`) begins with 1. */
const version = 2;
const writer = new RowWriter();

/** The items that stand together from `from` on; fewer than two are no run. */
export function runFrom(facts: readonly Fact[], from: number): readonly Enqueued[] {
  const run: Enqueued[] = [];
  let first: Enqueued | undefined;
  for (let at = from; at < facts.length; at += 1) {
    const fact = facts[at];
    if (fact?.kind !== 'enqueued' || !isPlain(fact)) break;
    if (first !== undefined && !follows(fact, first, at - from)) break;
    first ??= fact;
    run.push(fact);
  }
  return run;
}

/** It has nothing that a run has no place for. Spelt out: a list of names would take longer than all the rest. */
function isPlain(fact: Enqueued): boolean {
  return (
    fact.runAt === undefined &&
    fact.timeoutMs === undefined &&
    fact.expiresAt === undefined &&
    fact.group === undefined &&
    fact.key === undefined &&
    fact.dedupUntil === undefined &&
    fact.supersedes === undefined &&
    fact.contentType === undefined &&
    fact.headers === undefined &&
    fact.refused === undefined &&
    fact.blocked === undefined &&
    fact.parent === undefined &&
    fact.family === undefined &&
    fact.member === undefined
  );
}

const follows = (fact: Enqueued, first: Enqueued, distance: number): boolean =>
  fact.order === first.order + distance &&
  fact.queue === first.queue &&
  fact.payloadIsJson === first.payloadIsJson &&
  fact.attemptsMax === first.attemptsMax &&
  isSameBackoff(fact.backoff, first.backoff);

/** The bytes of a run of at least one item. */
export function encodeRun(run: readonly Enqueued[]): Uint8Array {
  const [first] = run;
  if (first === undefined) throw new Error('a run has no item');
  writer.begin();
  writer.uint(version);
  writer.uint(first.payloadIsJson ? 1 : 0);
  writer.uint(first.order);
  writer.text(first.queue);
  writer.uint(first.attemptsMax);
  writeBackoff(writer, first.backoff);
  writer.uint(run.length);
  for (const { band, payload } of run) {
    writer.uint(band);
    writer.bytes(payload);
  }
  return writer.end();
}

export const isRun = (bytes: Uint8Array): boolean => bytes[0] === version;

/** Throws on bytes that are damaged. */
export function decodeRun(bytes: Uint8Array): readonly Enqueued[] {
  const row = new RowReader(bytes);
  row.uint();
  const payloadIsJson = row.uint() === 1;
  const order = row.uint();
  const queue = row.text();
  const attemptsMax = row.uint();
  const backoff = readBackoff(row);
  const length = row.uint();
  const run: Enqueued[] = [];
  for (let index = 0; index < length; index += 1) {
    run.push({
      kind: 'enqueued',
      order: order + index,
      queue,
      band: row.uint(),
      attemptsMax,
      backoff,
      payload: row.bytes(),
      payloadIsJson,
    });
  }
  return run;
}
