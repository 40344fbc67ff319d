import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import type { Failure, QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { type Item, type Settled, itemId, parseItemId } from './item.ts';
import { retryDelayMs } from './retry-policy.ts';
import type { Turn } from './turn.ts';

/** Names a leased item: what every operation of a worker carries. */
export interface LeaseRequest {
  readonly id: string;
  readonly token: number;
}

export interface CompleteRequest extends LeaseRequest {
  readonly result?: Uint8Array;
}

export interface FailRequest extends LeaseRequest {
  readonly error: Failure;
  readonly retry: boolean;
  /** The worker's own word on how long to wait. */
  readonly delayMs?: number;
}

export interface ExtendRequest extends LeaseRequest {
  readonly leaseMs: number;
  readonly progress?: Uint8Array;
}

export interface ReleaseRequest extends LeaseRequest {
  /** The worker asks for a pause before anybody tries again. */
  readonly delayMs?: number;
}

export interface SettledAnswer {
  readonly id: string;
  readonly state: QueueStatus;
  readonly attempt: number;
  readonly nextAttemptAt?: number;
}

export interface ExtendAnswer {
  readonly id: string;
  readonly leaseExpiresAt: number;
  readonly cancelled: boolean;
}

/** Finishes an item well. */
export function decideComplete(turn: Turn, queue: string, request: CompleteRequest): Result<SettledAnswer> {
  const held = heldItem(turn, queue, request, 'complete');
  if (!held.ok || 'answer' in held.value) return answered(held);
  const { item } = held.value;
  const { order } = item;
  if (request.result === undefined) turn.complete(order);
  else turn.emit({ kind: 'completed', orders: [order], result: request.result });
  return settledAnswer(turn, item, 'done');
}

/** Ends an attempt badly: the item waits for its next attempt, or has failed. */
export function decideFail(turn: Turn, queue: string, request: FailRequest): Result<SettledAnswer> {
  const held = heldItem(turn, queue, request, 'fail');
  if (!held.ok || 'answer' in held.value) return answered(held);
  const { item } = held.value;
  const mayRetry = request.retry && item.attempt < item.attemptsMax;
  const delayMs = request.delayMs ?? retryDelayMs(item.backoff, item.attempt, turn.random01());
  turn.emit({
    kind: 'failed',
    order: item.order,
    error: request.error,
    mayRetry,
    ...(mayRetry ? { nextAttemptAt: turn.nowMs + delayMs } : {}),
  });
  return settledAnswer(turn, item, 'failed');
}

/** Hands an item back: the attempt is not charged. Without a delay it returns to its place in line. */
export function decideRelease(turn: Turn, queue: string, request: ReleaseRequest): Result<SettledAnswer> {
  const held = heldItem(turn, queue, request, 'release');
  if (!held.ok || 'answer' in held.value) return answered(held);
  const { delayMs = 0 } = request;
  const { item } = held.value;
  turn.emit({
    kind: 'released',
    order: item.order,
    ...(delayMs > 0 ? { runAt: turn.nowMs + delayMs } : {}),
  });
  return settledAnswer(turn, item, 'pending');
}

/** Prolongs a lease from now on, and keeps a note of progress. A cancelled item's worker learns of it here. */
export function decideExtend(turn: Turn, queue: string, request: ExtendRequest): Result<ExtendAnswer> {
  const found = findItem(turn, queue, request.id);
  if (!found.ok) return found;
  const item = found.value;
  if (item.state === 'cancelled' && item.token === request.token) {
    return accept({ id: request.id, leaseExpiresAt: turn.at, cancelled: true });
  }
  if (item.state !== 'processing' || item.token !== request.token) return leaseLost(request.id);
  const { order } = item;
  const progress = request.progress === undefined ? {} : { progress: request.progress };
  turn.emit({ kind: 'extended', order, leaseMs: request.leaseMs, ...progress });
  return accept({ id: request.id, leaseExpiresAt: turn.at + request.leaseMs, cancelled: false });
}

/** The item of this id, if it is one of `queue`. */
export function findItem(turn: Turn, queue: string, id: string): Result<Item> {
  const { partition, order } = parseItemId(id);
  const item = partition === turn.partition ? turn.table.item(order) : undefined;
  if (item === undefined || item.queue !== queue)
    return refuse('not_found', `no item ${id} in queue ${queue}`, { id });
  return accept(item);
}

/** The item of this id while the token holds it. */
export function findHeld(turn: Turn, queue: string, { id, token }: LeaseRequest): Result<Item> {
  const found = findItem(turn, queue, id);
  if (!found.ok) return found;
  const { state } = found.value;
  if (found.value.token !== token) return leaseLost(id);
  if (state === 'cancelled') return cancelled(id);
  return state === 'processing' ? found : leaseLost(id);
}

type Held = { readonly item: Item } | { readonly answer: SettledAnswer };

/** The item, while `token` holds it; the first answer, when this is a repetition; a refusal otherwise. */
function heldItem(turn: Turn, queue: string, request: LeaseRequest, by: Settled['by']): Result<Held> {
  const found = findItem(turn, queue, request.id);
  if (!found.ok) return found;
  const item = found.value;
  const { settled } = item;
  // The client may have lost our first reply; the second one must say the same.
  if (settled?.token === request.token && settled.by === by)
    return accept({ answer: firstAnswer(request.id, settled) });
  if (item.state === 'processing' && item.token === request.token) return accept({ item });
  if (item.state === 'cancelled' && item.token === request.token) {
    return cancelled(request.id);
  }
  return leaseLost(request.id);
}

const cancelled = (id: string) =>
  refuse('wrong_state', `item ${id} was cancelled`, { id, state: 'cancelled' });

const leaseLost = (id: string) => refuse('lease_lost', `the token no longer holds item ${id}`, { id });

function answered(held: Result<Held>): Result<SettledAnswer> {
  if (!held.ok) return held;
  if ('answer' in held.value) return accept(held.value.answer);
  return refuse('internal', 'a held item was taken for an answer');
}

/** @param state the one that the item ends in, if it ends here */
function settledAnswer(turn: Turn, { order, attempt }: Item, state: QueueStatus): Result<SettledAnswer> {
  const id = itemId(turn.partition, order);
  const settled = turn.table.item(order)?.settled;
  // Gone at once: the queue's retention keeps nothing. Its last state is still known from what was asked.
  if (settled === undefined) return accept({ id, state, attempt });
  return accept(firstAnswer(id, settled));
}

const firstAnswer = (id: string, { state, attempt, nextAttemptAt }: Settled): SettledAnswer =>
  nextAttemptAt === undefined ? { id, state, attempt } : { id, state, attempt, nextAttemptAt };
