import type pg from 'pg';
import { type AddOptions, type Trivet, TrivetError } from 'trivet';

interface Row {
  readonly id: string;
  readonly queue: string;
  readonly payload: unknown;
  readonly options: AddOptions;
}

/** What became of one row: it is in the queue, it never will be, or it has to be tried again. */
type Outcome =
  | { readonly kind: 'enqueued'; readonly id: string }
  | { readonly kind: 'refused'; readonly id: string; readonly reason: string }
  | { readonly kind: 'later'; readonly reason: string };

export interface Relayed {
  /** Rows that are dealt with. */
  readonly rows: number;
  /** Why others have to wait, when some do. */
  readonly reason?: string;
}

/**
 * Enqueues the first rows of the outbox and deletes them, in this order: whatever ends between the two leaves the rows,
 * and the next relay enqueues them again under the same keys, which the queue answers without a second item.
 * Several relays may do this at the same time: each takes rows that no other one has locked.
 * Rejects when the database goes away; the connection is of no further use then.
 */
export async function relayBatch(database: pg.Client, trivet: Trivet, rowsMax: number): Promise<Relayed> {
  await database.query('BEGIN');
  const { rows } = await database.query<Row>(
    `SELECT id, queue, payload, options FROM outbox WHERE refusal IS NULL
     ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED`,
    [rowsMax],
  );
  // All at once: what is added in one turn of the event loop travels as one message for each queue.
  const outcomes = await Promise.all(rows.map((row) => enqueue(trivet, row)));
  const enqueued = outcomes.filter((one) => one.kind === 'enqueued');
  await database.query('DELETE FROM outbox WHERE id = ANY($1)', [enqueued.map((one) => one.id)]);
  const refused = outcomes.filter((one) => one.kind === 'refused');
  for (const { id, reason } of refused)
    await database.query('UPDATE outbox SET refusal = $2 WHERE id = $1', [id, reason]);
  await database.query('COMMIT');
  const waiting = outcomes.find((one) => one.kind === 'later');
  return {
    rows: enqueued.length + refused.length,
    ...(waiting === undefined ? {} : { reason: waiting.reason }),
  };
}

async function enqueue(trivet: Trivet, { id, queue, payload, options }: Row): Promise<Outcome> {
  try {
    await trivet.queue(queue).add(payload, { ...options, key: id });
    return { kind: 'enqueued', id };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // One message that the queue will never take must not hold up those behind it.
    const never = error instanceof TrivetError && !error.retryable;
    return never ? { kind: 'refused', id, reason } : { kind: 'later', reason };
  }
}
