import type { Enqueued } from './facts.ts';
import type { Item } from './item.ts';

/** Payloads up to this many bytes stand in the item's row: one row to write and to read instead of two. */
export const inlineBytesMax = 2_048;

/** An item as it begins, before the machine has admitted it. */
export function newItem(fact: Enqueued, at: number, readyOrder: number): Item {
  return {
    order: fact.order,
    queue: fact.queue,
    state: 'pending',
    band: fact.band,
    readyOrder,
    readyAt: at,
    group: fact.group,
    key: fact.key,
    attempt: 0,
    attemptsMax: fact.attemptsMax,
    backoff: fact.backoff,
    timeoutMs: fact.timeoutMs,
    expiresAt: fact.expiresAt,
    enqueuedAt: at,
    runAt: fact.runAt,
    startedAt: undefined,
    finishedAt: fact.refused === undefined ? undefined : at,
    token: 0,
    lease: undefined,
    settled: undefined,
    attempts:
      fact.refused === undefined ? none : [{ attempt: 0, startedAt: at, endedAt: at, error: fact.refused }],
    transitions: none,
    progress: undefined,
    result: undefined,
    contentType: fact.contentType,
    headers: fact.headers,
    payloadIsJson: fact.payloadIsJson,
    payloadBytes: fact.payload.length,
    inline: fact.payload.length <= inlineBytesMax ? fact.payload : undefined,
    fields: undefined,
    parent: fact.parent,
    family: fact.family,
    logged: undefined,
  };
}

const none: readonly never[] = [];
