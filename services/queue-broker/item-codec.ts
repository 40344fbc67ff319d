import { childFailures } from '#shared/protocol/queue-more-schemas.ts';
import { type QueueStatus, states } from '#shared/protocol/queue-schemas.ts';
import type { Failure } from '#shared/protocol/queue-schemas.ts';
import type { Attempt, Family, Item, Lease, Logged, Parent, Settled, StateChange } from './core/item.ts';
import { decodeItem1 } from './item-codec-1.ts';
import { RowReader, RowWriter } from './row-bytes.ts';
import { readBackoff, readList, readTexts, writeBackoff, writeTexts } from './row-parts.ts';

// The row of an item. This file is the only one that knows where its fields stand. The first byte is the version:
// rows of version 1 are MessagePack arrays, which begin with another byte.

const rowVersion = 2;

const writer = new RowWriter();

/** Words of the history that are one byte in a row. New ones are added at the end. */
const whys = [
  'enqueued',
  'claimed',
  'completed',
  'failed',
  'released',
  'lease_expired',
  'timeout',
  'due',
  'expired',
  'cancelled',
  'replayed',
  'unblocked',
  'child_failed',
] as const;
const whyNumbers = new Map<string, number>(whys.map((why, index) => [why, index + 1]));

const settledBy = ['complete', 'fail', 'release'] as const;

const stateNumbers = new Map<QueueStatus, number>(states.map((state, index) => [state, index]));

/** Which optional fields a row has, as bits; they stand in this order. */
const has = {
  runAt: 1,
  startedAt: 2,
  finishedAt: 4,
  expiresAt: 8,
  timeoutMs: 16,
  group: 32,
  key: 64,
  lease: 128,
  settled: 256,
  progress: 512,
  result: 1_024,
  contentType: 2_048,
  headers: 4_096,
  inline: 8_192,
  fields: 16_384,
  parent: 32_768,
  payloadIsJson: 65_536,
  family: 131_072,
  logged: 262_144,
} as const;

export function encodeItem(item: Item): Buffer {
  writer.begin();
  writer.uint(rowVersion);
  writer.uint(numberOf(item.state));
  const flags = flagsOf(item);
  writer.uint(flags);
  writer.uint(item.order);
  writer.text(item.queue);
  writer.uint(item.band);
  writer.uint(item.readyOrder);
  writer.uint(item.enqueuedAt);
  writer.distance(item.readyAt, item.enqueuedAt);
  writer.uint(item.attempt);
  writer.uint(item.attemptsMax);
  writeBackoff(writer, item.backoff);
  writer.uint(item.token);
  writer.uint(item.payloadBytes);
  writer.uint(item.attempts.length);
  for (const attempt of item.attempts) writeAttempt(attempt, item.enqueuedAt);
  writer.uint(item.transitions.length);
  for (const change of item.transitions) writeTransition(change, item.enqueuedAt);
  writeOptional(item);
  return writer.end();
}

function flagsOf(item: Item): number {
  let flags = item.payloadIsJson ? has.payloadIsJson : 0;
  if (item.runAt !== undefined) flags |= has.runAt;
  if (item.startedAt !== undefined) flags |= has.startedAt;
  if (item.finishedAt !== undefined) flags |= has.finishedAt;
  if (item.expiresAt !== undefined) flags |= has.expiresAt;
  if (item.timeoutMs !== undefined) flags |= has.timeoutMs;
  if (item.group !== undefined) flags |= has.group;
  if (item.key !== undefined) flags |= has.key;
  if (item.lease !== undefined) flags |= has.lease;
  if (item.settled !== undefined) flags |= has.settled;
  if (item.progress !== undefined) flags |= has.progress;
  if (item.result !== undefined) flags |= has.result;
  if (item.contentType !== undefined) flags |= has.contentType;
  if (item.headers !== undefined) flags |= has.headers;
  if (item.inline !== undefined) flags |= has.inline;
  if (item.fields !== undefined) flags |= has.fields;
  if (item.parent !== undefined) flags |= has.parent;
  if (item.family !== undefined) flags |= has.family;
  if (item.logged !== undefined) flags |= has.logged;
  return flags;
}

function writeOptional(item: Item): void {
  if (item.runAt !== undefined) writer.uint(item.runAt);
  if (item.startedAt !== undefined) writer.uint(item.startedAt);
  if (item.finishedAt !== undefined) writer.uint(item.finishedAt);
  if (item.expiresAt !== undefined) writer.uint(item.expiresAt);
  if (item.timeoutMs !== undefined) writer.uint(item.timeoutMs);
  if (item.group !== undefined) writer.text(item.group);
  if (item.key !== undefined) writer.text(item.key);
  if (item.lease !== undefined) writeLease(item.lease);
  if (item.settled !== undefined) writeSettled(item.settled);
  if (item.progress !== undefined) writer.bytes(item.progress);
  if (item.result !== undefined) writer.bytes(item.result);
  if (item.contentType !== undefined) writer.text(item.contentType);
  if (item.headers !== undefined) writeTexts(writer, item.headers);
  if (item.inline !== undefined) writer.bytes(item.inline);
  if (item.fields !== undefined) writeTexts(writer, item.fields);
  if (item.parent !== undefined) writeParent(item.parent);
  if (item.family !== undefined) writeFamily(item.family);
  if (item.logged !== undefined) writeLogged(item.logged);
}

/** Throws on a row that this broker cannot read. */
export function decodeItem(bytes: Uint8Array): Item {
  if (bytes[0] !== rowVersion) return decodeItem1(bytes);
  const row = new RowReader(bytes);
  row.uint();
  const state = stateAt(row.uint());
  const flags = row.uint();
  const order = row.uint();
  const queue = row.text();
  const band = row.uint();
  const readyOrder = row.uint();
  const enqueuedAt = row.uint();
  const readyAt = row.distance(enqueuedAt);
  const attempt = row.uint();
  const attemptsMax = row.uint();
  const backoff = readBackoff(row);
  const token = row.uint();
  const payloadBytes = row.uint();
  const attempts = readList(row, () => readAttempt(row, enqueuedAt));
  const transitions = readList(row, () => readTransition(row, enqueuedAt));
  const runAt = flags & has.runAt ? row.uint() : undefined;
  const startedAt = flags & has.startedAt ? row.uint() : undefined;
  const finishedAt = flags & has.finishedAt ? row.uint() : undefined;
  const expiresAt = flags & has.expiresAt ? row.uint() : undefined;
  const timeoutMs = flags & has.timeoutMs ? row.uint() : undefined;
  const group = flags & has.group ? row.text() : undefined;
  const key = flags & has.key ? row.text() : undefined;
  const lease = flags & has.lease ? readLease(row) : undefined;
  const settled = flags & has.settled ? readSettled(row) : undefined;
  const progress = flags & has.progress ? row.bytes() : undefined;
  const result = flags & has.result ? row.bytes() : undefined;
  const contentType = flags & has.contentType ? row.text() : undefined;
  const headers = flags & has.headers ? readTexts(row) : undefined;
  const inline = flags & has.inline ? row.bytes() : undefined;
  const fields = flags & has.fields ? readTexts(row) : undefined;
  const parent = flags & has.parent ? readParent(row) : undefined;
  const family = flags & has.family ? readFamily(row) : undefined;
  const logged = flags & has.logged ? { count: row.uint(), bytes: row.uint() } : undefined;
  return {
    order,
    queue,
    state,
    band,
    readyOrder,
    readyAt,
    group,
    key,
    attempt,
    attemptsMax,
    backoff,
    timeoutMs,
    expiresAt,
    enqueuedAt,
    runAt,
    startedAt,
    finishedAt,
    token,
    lease,
    settled,
    attempts,
    transitions,
    progress,
    result,
    contentType,
    headers,
    payloadIsJson: (flags & has.payloadIsJson) !== 0,
    payloadBytes,
    inline,
    fields,
    parent,
    family,
    logged,
  };
}

function writeParent({ queue, id, index }: Parent): void {
  writer.text(queue);
  writer.text(id);
  writer.uint(index);
}

const readParent = (row: RowReader): Parent => ({ queue: row.text(), id: row.text(), index: row.uint() });

function writeFamily({ children, below, onChildFailure }: Family): void {
  writer.uint(children);
  writer.uint(below);
  writer.uint(childFailures.indexOf(onChildFailure));
}

const readFamily = (row: RowReader): Family => ({
  children: row.uint(),
  below: row.uint(),
  onChildFailure: childFailures[row.uint()] ?? 'fail',
});

function writeLogged({ count, bytes }: Logged): void {
  writer.uint(count);
  writer.uint(bytes);
}

function writeAttempt({ attempt, startedAt, endedAt, error, worker }: Attempt, from: number): void {
  writer.uint(
    (endedAt === undefined ? 0 : 1) | (error === undefined ? 0 : 2) | (worker === undefined ? 0 : 4),
  );
  writer.uint(attempt);
  writer.distance(startedAt, from);
  if (endedAt !== undefined) writer.distance(endedAt, startedAt);
  if (error !== undefined) writeFailure(error);
  if (worker !== undefined) writer.text(worker);
}

function readAttempt(row: RowReader, from: number): Attempt {
  const flags = row.uint();
  const attempt = row.uint();
  const startedAt = row.distance(from);
  const endedAt = flags & 1 ? row.distance(startedAt) : undefined;
  const error = flags & 2 ? readFailure(row) : undefined;
  const worker = flags & 4 ? row.text() : undefined;
  return {
    attempt,
    startedAt,
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(error === undefined ? {} : { error }),
    ...(worker === undefined ? {} : { worker }),
  };
}

function writeFailure({ message, type, stack }: Failure): void {
  writer.uint((type === undefined ? 0 : 1) | (stack === undefined ? 0 : 2));
  writer.text(message);
  if (type !== undefined) writer.text(type);
  if (stack !== undefined) writer.text(stack);
}

function readFailure(row: RowReader): Failure {
  const flags = row.uint();
  return {
    message: row.text(),
    ...(flags & 1 ? { type: row.text() } : {}),
    ...(flags & 2 ? { stack: row.text() } : {}),
  };
}

function writeTransition({ at, from, to, why }: StateChange, since: number): void {
  writer.distance(at, since);
  writer.uint(from === null ? 0 : numberOf(from) + 1);
  writer.uint(numberOf(to));
  const number = whyNumbers.get(why) ?? 0;
  writer.uint(number);
  if (number === 0) writer.text(why);
}

function readTransition(row: RowReader, since: number): StateChange {
  const at = row.distance(since);
  const from = row.uint();
  const to = stateAt(row.uint());
  const why = row.uint();
  return {
    at,
    from: from === 0 ? null : stateAt(from - 1),
    to,
    why: why === 0 ? row.text() : (whys[why - 1] ?? 'unknown'),
  };
}

function writeLease({ leaseMs, expiresAt, worker, claim }: Lease): void {
  writer.uint((worker === undefined ? 0 : 1) | (claim === undefined ? 0 : 2));
  writer.uint(leaseMs);
  writer.uint(expiresAt);
  if (worker !== undefined) writer.text(worker);
  if (claim !== undefined) writer.text(claim);
}

function readLease(row: RowReader): Lease {
  const flags = row.uint();
  return {
    leaseMs: row.uint(),
    expiresAt: row.uint(),
    worker: flags & 1 ? row.text() : undefined,
    claim: flags & 2 ? row.text() : undefined,
  };
}

function writeSettled({ token, by, state, attempt, nextAttemptAt }: Settled): void {
  writer.uint(settledBy.indexOf(by));
  writer.uint(token);
  writer.uint(numberOf(state));
  writer.uint(attempt);
  writer.uint(nextAttemptAt === undefined ? 0 : 1);
  if (nextAttemptAt !== undefined) writer.uint(nextAttemptAt);
}

function readSettled(row: RowReader): Settled {
  const by = settledBy[row.uint()] ?? 'complete';
  return {
    by,
    token: row.uint(),
    state: stateAt(row.uint()),
    attempt: row.uint(),
    ...(row.uint() === 0 ? {} : { nextAttemptAt: row.uint() }),
  };
}

const numberOf = (state: QueueStatus): number => stateNumbers.get(state) ?? 0;

function stateAt(index: number): QueueStatus {
  const state = states[index];
  if (state === undefined) throw new Error(`a row has state ${index}, which does not exist`);
  return state;
}
