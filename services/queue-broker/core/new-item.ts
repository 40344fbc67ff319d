import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Enqueued } from './facts.ts';
import type { Item } from './item.ts';

/** Payloads up to this many bytes stand in the item's row: one row to write and to read instead of two. */
export const inlineBytesMax = 2_048;

/** How an item begins, besides what its fact says. */
export interface Beginning {
  readonly at: number;
  readonly readyOrder: number;
  /** As the machine admits it. */
  readonly state: QueueStatus;
  readonly fields: Item['fields'];
}

export function newItem(fact: Enqueued, { at, readyOrder, state, fields }: Beginning): Item {
  return {
    order: fact.order,
    queue: fact.queue,
    state,
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
    transitions: begun(state, at),
    progress: undefined,
    result: undefined,
    contentType: fact.contentType,
    headers: fact.headers,
    payloadIsJson: fact.payloadIsJson,
    payloadBytes: fact.payload.length,
    inline: fact.payload.length <= inlineBytesMax ? fact.payload : undefined,
    fields,
    parent: fact.parent,
    family: fact.family,
    logged: undefined,
  };
}

const none: readonly never[] = [];

let beginning: Item['transitions'] = none;

/** What came in with one record has one history so far. */
function begun(state: QueueStatus, at: number): Item['transitions'] {
  const [like] = beginning;
  if (like?.at !== at || like.to !== state) beginning = [{ at, from: null, to: state, why: 'enqueued' }];
  return beginning;
}
