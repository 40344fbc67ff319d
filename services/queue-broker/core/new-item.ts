import type { Enqueued } from './facts.ts';
import type { Item } from './item.ts';

/** An item as it begins, before the machine has admitted it. */
export function newItem(fact: Enqueued, at: number, readyOrder: number): Item {
  return {
    order: fact.order,
    queue: fact.queue,
    state: 'pending',
    band: fact.band,
    readyOrder,
    readyAt: at,
    attempt: 0,
    attemptsMax: fact.attemptsMax,
    backoff: fact.backoff,
    enqueuedAt: at,
    token: 0,
    attempts:
      fact.refused === undefined ? [] : [{ attempt: 0, startedAt: at, endedAt: at, error: fact.refused }],
    transitions: [],
    payloadIsJson: fact.payloadIsJson,
    payloadBytes: fact.payload.length,
    ...(fact.refused === undefined ? {} : { finishedAt: at }),
    ...(fact.group === undefined ? {} : { group: fact.group }),
    ...(fact.key === undefined ? {} : { key: fact.key }),
    ...(fact.timeoutMs === undefined ? {} : { timeoutMs: fact.timeoutMs }),
    ...(fact.expiresAt === undefined ? {} : { expiresAt: fact.expiresAt }),
    ...(fact.runAt === undefined ? {} : { runAt: fact.runAt }),
    ...(fact.contentType === undefined ? {} : { contentType: fact.contentType }),
    ...(fact.headers === undefined ? {} : { headers: fact.headers }),
  };
}
