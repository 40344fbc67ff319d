import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { payloadBytesMax } from '#shared/protocol/limits.ts';
import type { Failure, QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Enqueued } from './facts.ts';
import { itemId } from './item.ts';
import type { ItemOptions } from './item-options.ts';
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
  readonly duplicate: boolean;
}

/** Admits an item, or answers with the one that its key stands for. */
export function decideEnqueue(turn: Turn, request: EnqueueRequest): Result<EnqueueAnswer> {
  const { queue, options } = request;
  const duplicate = knownDuplicate(turn, request);
  if (duplicate !== undefined) return accept(duplicate);
  if (request.payload.length > payloadBytesMax) {
    return refuse(
      'payload_too_large',
      `payload has ${request.payload.length} bytes, the most is ${payloadBytesMax}`,
      {
        field: 'payload',
      },
    );
  }
  const fact = enqueuedFact(turn, request);
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

// A repeated enqueue is not a second item: the client may have lost our first reply.
function knownDuplicate(turn: Turn, { queue, options }: EnqueueRequest): EnqueueAnswer | undefined {
  if (options.key === undefined) return undefined;
  const order = turn.table.duplicateOf(queue, options.key, turn.at);
  if (order === undefined) return undefined;
  const item = turn.table.item(order);
  return {
    id: itemId(turn.partition, order),
    queue,
    // The item may be gone already, by its retention: it was final then.
    state: item?.state ?? 'done',
    band: item?.band ?? options.band,
    duplicate: true,
  };
}

function enqueuedFact(turn: Turn, request: EnqueueRequest): Enqueued {
  const { options } = request;
  const settings = turn.table.settingsOf(request.queue);
  const timeoutMs = options.timeoutMs ?? settings.timeoutMs;
  const runAt = options.delayMs === undefined ? options.runAt : turn.at + options.delayMs;
  return {
    kind: 'enqueued',
    order: turn.table.nextOrder,
    queue: request.queue,
    band: options.band,
    payload: request.payload,
    payloadIsJson: request.payloadIsJson,
    attemptsMax: options.attemptsMax ?? settings.attemptsMax,
    backoff: options.backoff ?? settings.backoff,
    ...(runAt !== undefined && runAt > turn.at ? { runAt } : {}),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(options.expiresMs === undefined ? {} : { expiresAt: turn.at + options.expiresMs }),
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(options.key === undefined ? {} : { key: options.key, dedupUntil: turn.at + settings.dedupWindowMs }),
    ...(request.contentType === undefined ? {} : { contentType: request.contentType }),
    ...(options.headers === undefined ? {} : { headers: options.headers }),
    ...(request.refused === undefined ? {} : { refused: request.refused }),
  };
}
