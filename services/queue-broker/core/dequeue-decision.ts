import type { Claimed } from './facts.ts';
import type { Item } from './item.ts';
import { leaseOf } from './partition-table.ts';
import type { QueueIndex } from './queue-index.ts';
import type { Turn } from './turn.ts';

export interface DequeueRequest {
  readonly queue: string;
  readonly max: number;
  /** Default: the queue's. */
  readonly leaseMs?: number;
  readonly worker?: string;
  /** `Nats-Msg-Id`: the same one gets the same live claim again. */
  readonly claim?: string;
}

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
  if (queue === undefined || queue.paused || !turn.mayClaim) return [];
  const orders = claimEach(turn, queue, request);
  return orders.map((order) => turn.table.item(order)).filter((item) => item !== undefined);
}

function claimEach(turn: Turn, queue: QueueIndex, request: DequeueRequest): readonly number[] {
  const orders: number[] = [];
  const claimed = { ...request, leaseMs: request.leaseMs ?? queue.settings.leaseMs };
  const lease = leaseOf(claimed, turn.at);
  let recorded = 0;
  // Facts stand in the log in the order in which they were applied: only then does replay give the same table.
  const record = (): void => {
    if (orders.length > recorded) turn.noteApplied(claimedFact(claimed, orders.slice(recorded)));
    recorded = orders.length;
  };
  let bytes = 0;
  while (orders.length < request.max) {
    const item = turn.table.nextReady(queue, turn.at);
    if (item === undefined) break;
    if (item.expiresAt !== undefined && item.expiresAt <= turn.at) {
      record();
      if (turn.expire(item.order)) continue;
      // Behind it there may be some that are not too old: whoever waits is served in the next record.
      turn.table.capacity.noteNow(queue.name);
      break;
    }
    bytes += replyBytesOf(item);
    if (orders.length > 0 && bytes > turn.replyBytesMax) break;
    // Applied one by one, since the next choice depends on it; written down as one fact.
    turn.table.claim(item, lease, turn.at, turn.sequence);
    orders.push(item.order);
  }
  record();
  // Whoever is turned away by time alone is woken by it.
  const roomAt = orders.length === 0 ? queue.nextRoomAt : undefined;
  if (roomAt !== undefined) turn.table.capacity.note(queue.name, roomAt);
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

const claimedFact = (
  request: DequeueRequest & { readonly leaseMs: number },
  orders: readonly number[],
): Claimed => ({
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
