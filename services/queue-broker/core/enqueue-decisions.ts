import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import type { Failure, QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { decideReplace, isWaiting } from './edit-decisions.ts';
import type { Enqueued } from './facts.ts';
import { itemId } from './item.ts';
import { type ItemOptions, noOptions } from './item-options.ts';
import { fullQueue, hasRoomLimits, tooLarge } from './queue-room.ts';
import type { Turn } from './turn.ts';

/** One item that wants in. */
export interface EnqueueRequest {
  readonly queue: string;
  readonly payload: Uint8Array;
  readonly payloadIsJson: boolean;
  readonly contentType?: string;
  readonly options: ItemOptions;
  /** Set for a plain publish whose options cannot be understood: it is kept, as failed. */
  readonly refused?: Failure;
}

export interface EnqueueAnswer {
  readonly id: string;
  readonly queue: string;
  readonly state: QueueStatus;
  readonly band: number;
  /** No new item was made. */
  readonly duplicate: boolean;
  /** The item that the key stands for was changed. */
  readonly replaced?: true;
}

/**
 * Admits an item, or answers with the one that its key stands for.
 * @param hasRoom the queue's limits do not matter: it was asked before, or the item is durable already
 */
export function decideEnqueue(turn: Turn, request: EnqueueRequest, hasRoom = false): Result<EnqueueAnswer> {
  const { queue, options } = request;
  const known = options.key === undefined ? undefined : turn.table.duplicateOf(queue, options.key, turn.at);
  const answer = known === undefined ? undefined : decideDuplicate(turn, request, known);
  if (answer !== undefined) return answer;
  const fault = tooLarge(request.payload, turn.table.settingsOf(queue));
  if (fault !== undefined) return { ok: false, error: fault };
  const full = hasRoom
    ? undefined
    : fullQueue(turn.table, queue, { items: 1, bytes: request.payload.length });
  if (full !== undefined) return { ok: false, error: full };
  const fact = enqueuedFact(turn, request, known);
  turn.emit(fact);
  const item = turn.table.item(fact.order);
  return accept({
    id: itemId(turn.partition, fact.order),
    queue,
    state: item?.state ?? 'pending',
    band: options.band,
    duplicate: false,
  });
}

/**
 * Admits many items, each for itself; all are refused when the queue has no room for those that would be new.
 * Who is refused by it may send the same batch again, so that nothing may be half accepted.
 */
export function decideEnqueueMany(
  turn: Turn,
  requests: readonly Result<EnqueueRequest>[],
): Result<readonly Result<EnqueueAnswer>[]> {
  const full = fullForAll(turn, requests);
  if (full !== undefined) return { ok: false, error: full };
  return accept(requests.map((one) => (one.ok ? decideEnqueue(turn, one.value, true) : one)));
}

function fullForAll(turn: Turn, requests: readonly Result<EnqueueRequest>[]): Refusal | undefined {
  const queue = requests.find((one) => one.ok)?.value.queue;
  if (queue === undefined || !hasRoomLimits(turn.table, queue)) return undefined;
  const keys = new Set<string>();
  let items = 0;
  let bytes = 0;
  for (const one of requests) {
    if (!one.ok || !becomesItem(turn, one.value, keys)) continue;
    items += 1;
    bytes += one.value.payload.length;
  }
  return fullQueue(turn.table, queue, { items, bytes });
}

/** True when a request would make a new item. @param keys those of the batch so far */
function becomesItem(turn: Turn, { queue, options, payload }: EnqueueRequest, keys: Set<string>): boolean {
  if (payload.length > turn.table.settingsOf(queue).payloadBytesMax) return false;
  const { key } = options;
  if (key === undefined) return true;
  if (keys.has(key)) return false;
  keys.add(key);
  const order = turn.table.duplicateOf(queue, key, turn.at);
  if (order === undefined) return true;
  const item = turn.table.item(order);
  return (options.onDuplicate ?? 'keep') !== 'keep' && (item === undefined || !isWaiting(item.state));
}

/** What becomes of an item whose key stands for another one already; undefined when it becomes an item all the same. */
function decideDuplicate(
  turn: Turn,
  request: EnqueueRequest,
  order: number,
): Result<EnqueueAnswer> | undefined {
  const { queue, options } = request;
  const id = itemId(turn.partition, order);
  const item = turn.table.item(order);
  // A repeated enqueue is not a second item: the client may have lost our first reply.
  if ((options.onDuplicate ?? 'keep') === 'keep') {
    // The item may be gone already, by its retention: it was final then.
    const { state, band } = item ?? { state: 'done', band: options.band };
    return accept({ id, queue, state, band, duplicate: true });
  }
  if (item === undefined || !isWaiting(item.state)) return undefined;
  const fault = decideReplace(turn, item, request);
  if (fault !== undefined) return { ok: false, error: fault };
  const state = turn.table.item(order)?.state ?? item.state;
  return accept({ id, queue, state, band: options.band, duplicate: true, replaced: true });
}

export function enqueuedFact(turn: Turn, request: EnqueueRequest, supersedes: number | undefined): Enqueued {
  const { options } = request;
  const settings = turn.table.settingsOf(request.queue);
  const timeoutMs = options.timeoutMs ?? settings.timeoutMs;
  const runAt = options.delayMs === undefined ? options.runAt : turn.nowMs + options.delayMs;
  const plain = {
    kind: 'enqueued' as const,
    order: turn.table.nextOrder,
    queue: request.queue,
    band: options.band,
    payload: request.payload,
    payloadIsJson: request.payloadIsJson,
    attemptsMax: options.attemptsMax ?? settings.attemptsMax,
    backoff: options.backoff ?? settings.backoff,
  };
  // Most items: what follows copies a dozen objects, empty ones too.
  const isPlain = options === noOptions && request.contentType === undefined && timeoutMs === undefined;
  if (isPlain && request.refused === undefined && supersedes === undefined) return plain;
  return {
    ...plain,
    ...(runAt !== undefined && runAt > turn.nowMs ? { runAt } : {}),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(options.expiresMs === undefined ? {} : { expiresAt: turn.nowMs + options.expiresMs }),
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(options.key === undefined ? {} : { key: options.key, dedupUntil: turn.at + settings.dedupWindowMs }),
    ...(supersedes === undefined ? {} : { supersedes }),
    ...(request.contentType === undefined ? {} : { contentType: request.contentType }),
    ...(options.headers === undefined ? {} : { headers: options.headers }),
    ...(request.refused === undefined ? {} : { refused: request.refused }),
  };
}
