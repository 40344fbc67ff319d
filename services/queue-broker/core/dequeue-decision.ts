import { replyBytesMax } from '#shared/protocol/limits.ts';
import type { Claimed } from './facts.ts';
import type { Item } from './item.ts';
import type { QueueIndex } from './queue-index.ts';
import type { Turn } from './turn.ts';

export interface DequeueRequest {
  readonly queue: string;
  readonly max: number;
  readonly leaseMs: number;
  readonly worker?: string;
  /** `Nats-Msg-Id`: the same one gets the same live claim again. */
  readonly claim?: string;
}

/** The head of a band counts as one band higher for each of these that it has waited. */
export const agingAfterMs = 5 * 60_000;

/** Bytes of a reply that one item takes besides its payload: id, times, headers and names, generously. */
const envelopeBytes = 1_024;

/**
 * Claims items for a worker: none from an unknown or paused queue, and no more than fit into one reply.
 * @returns the items as they are after the claim
 */
export function decideDequeue(turn: Turn, request: DequeueRequest): readonly Item[] {
  const repeated = liveClaim(turn, request);
  if (repeated.length > 0) return repeated;
  const queue = turn.table.queue(request.queue);
  if (queue === undefined || queue.paused) return [];
  const orders = claimEach(turn, queue, request);
  return orders.map((order) => turn.table.item(order)).filter((item) => item !== undefined);
}

function claimEach(turn: Turn, queue: QueueIndex, request: DequeueRequest): readonly number[] {
  const orders: number[] = [];
  let recorded = 0;
  // Facts stand in the log in the order in which they were applied: only then does replay give the same table.
  const record = (): void => {
    if (orders.length > recorded) turn.noteApplied(claimedFact(request, orders.slice(recorded)));
    recorded = orders.length;
  };
  let bytes = 0;
  while (orders.length < request.max) {
    const item = turn.table.nextReady(queue, turn.at, agingAfterMs);
    if (item === undefined) break;
    if (item.expiresAt !== undefined && item.expiresAt <= turn.at) {
      record();
      turn.emit({ kind: 'expired', orders: [item.order] });
      continue;
    }
    bytes += replyBytesOf(item);
    if (orders.length > 0 && bytes > replyBytesMax) break;
    // Applied one by one, since the next choice depends on it; written down as one fact.
    turn.table.apply(claimedFact(request, [item.order]), turn.at, turn.sequence);
    orders.push(item.order);
  }
  record();
  return orders;
}

/** The items that this claim holds already: its first reply may have been lost. */
function liveClaim(turn: Turn, request: DequeueRequest): readonly Item[] {
  if (request.claim === undefined) return [];
  const orders = turn.table.claimed(request.claim) ?? [];
  return orders
    .map((order) => turn.table.leased.get(order))
    .filter(
      (item) => item !== undefined && item.queue === request.queue && item.lease?.claim === request.claim,
    )
    .filter((item) => item !== undefined);
}

const claimedFact = (request: DequeueRequest, orders: readonly number[]): Claimed => ({
  kind: 'claimed',
  orders,
  leaseMs: request.leaseMs,
  ...(request.worker === undefined ? {} : { worker: request.worker }),
  ...(request.claim === undefined ? {} : { claim: request.claim }),
});

/** Bytes that are not JSON travel as base64. */
const replyBytesOf = (item: Item): number =>
  envelopeBytes +
  (item.payloadIsJson ? item.payloadBytes : Math.ceil((item.payloadBytes * 4) / 3)) +
  (item.headers === undefined ? 0 : JSON.stringify(item.headers).length);
