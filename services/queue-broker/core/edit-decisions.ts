import { type Refusal, type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { ownerHeader, splitOwner } from '#shared/protocol/owner.ts';
import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { StateAnswer } from './admin-decisions.ts';
import type { EnqueueRequest } from './enqueue-decisions.ts';
import type { Content, Updated } from './facts.ts';
import { type Item, isFinal } from './item.ts';
import type { ItemOptions } from './item-options.ts';
import { findItem } from './lease-decisions.ts';
import { tooLarge } from './queue-room.ts';
import type { Turn } from './turn.ts';

/** What is to be other than it is; what is absent stays. */
export interface UpdateRequest {
  readonly id: string;
  readonly content?: Content;
  readonly options: Partial<ItemOptions>;
}

/** `scheduled`, `pending`, `retry` and `blocked`: nobody works on it, and somebody still will. */
export const isWaiting = (state: QueueStatus): boolean => state !== 'processing' && !isFinal(state);

/** Edits a waiting item. */
export function decideUpdate(turn: Turn, queue: string, request: UpdateRequest): Result<StateAnswer> {
  const { id, content, options } = request;
  const found = findItem(turn, queue, id);
  if (!found.ok) return found;
  const item = found.value;
  if (!isWaiting(item.state)) {
    const { state } = item;
    return refuse('wrong_state', `item ${id} is ${state}, only waiting items are edited`, { id, state });
  }
  if (options.attemptsMax !== undefined && options.attemptsMax <= item.attempt)
    return refuseField('maxAttempts', `must be more than the ${item.attempt} attempts that were made`);
  const tooLarge = content === undefined ? undefined : faultOfContent(turn, item, content);
  if (tooLarge !== undefined) return { ok: false, error: tooLarge };
  const fact = updatedFact(turn, item, request);
  // The order alone: nothing was asked for that is not so already.
  if (Object.keys(fact).length > 2) turn.emit(fact);
  return accept({ id, state: turn.table.item(item.order)?.state ?? item.state });
}

/** Gives a waiting item what a second `enqueue` with its key brought. */
export function decideReplace(turn: Turn, item: Item, request: EnqueueRequest): Refusal | undefined {
  const { options } = request;
  const owner = item.headers?.[ownerHeader];
  const asking = options.headers?.[ownerHeader];
  // To replace is to change: what is somebody's is changed by no other who says who he is.
  if (owner !== undefined && asking !== undefined && owner !== asking)
    return refuse('conflict', 'an item of another owner has this key already').error;
  const headers = headersOf(owner, options.headers);
  const fault = faultOfContent(turn, item, request);
  if (fault !== undefined) return fault;
  const settings = turn.table.settingsOf(item.queue);
  const timeoutMs = options.timeoutMs ?? settings.timeoutMs;
  // Attempts that were made stay made; one at least is left for what is new.
  const attemptsMax = Math.max(options.attemptsMax ?? settings.attemptsMax, item.attempt + 1);
  turn.emit({
    kind: 'replaced',
    order: item.order,
    content: contentOf(request),
    band: options.band,
    attemptsMax,
    backoff: options.backoff ?? settings.backoff,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(options.expiresMs === undefined ? {} : { expiresAt: turn.nowMs + options.expiresMs }),
    ...(headers === undefined ? {} : { headers }),
    ...(options.onDuplicate === 'debounce' ? { runAt: laterBy(turn, options.delayMs ?? 0) } : {}),
  });
  return undefined;
}

/** The headers that come, and the owner who stays: an item that was nobody's goes on to be nobody's. */
function headersOf(owner: string | undefined, given: ItemOptions['headers']): ItemOptions['headers'] {
  const { headers } = splitOwner(given);
  return owner === undefined ? headers : { ...headers, [ownerHeader]: owner };
}

function updatedFact(turn: Turn, item: Item, { content, options }: UpdateRequest): Updated {
  const runAt = options.delayMs === undefined ? options.runAt : laterBy(turn, options.delayMs);
  // What is pending runs as soon as it can: to ask for that must not cost it its place.
  const reschedules = runAt !== undefined && (runAt > turn.at || item.state !== 'pending');
  return {
    kind: 'updated',
    order: item.order,
    ...(content === undefined ? {} : { content }),
    ...(options.band === undefined || options.band === item.band ? {} : { band: options.band }),
    ...(options.attemptsMax === undefined ? {} : { attemptsMax: options.attemptsMax }),
    ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.expiresMs === undefined ? {} : { expiresAt: turn.nowMs + options.expiresMs }),
    ...(reschedules ? { runAt } : {}),
  };
}

/** No delay is no wait, not even for the moment by which the turn is older than the request. */
const laterBy = (turn: Turn, delayMs: number): number => (delayMs === 0 ? turn.at : turn.nowMs + delayMs);

const contentOf = ({ payload, payloadIsJson, contentType }: EnqueueRequest): Content => ({
  payload,
  payloadIsJson,
  ...(contentType === undefined ? {} : { contentType }),
});

/** Why an item cannot have this payload, or undefined. A queue that is full of bytes may still shrink. */
function faultOfContent(turn: Turn, item: Item, { payload }: Pick<Content, 'payload'>): Refusal | undefined {
  const settings = turn.table.settingsOf(item.queue);
  const { bytesMax } = settings;
  const fault = tooLarge(payload, settings);
  if (fault !== undefined) return fault;
  const grows = payload.length - item.payloadBytes;
  const held = turn.table.queue(item.queue)?.waitingBytes ?? 0;
  if (bytesMax === undefined || grows <= 0 || held + grows <= bytesMax) return undefined;
  return refuse('queue_full', `queue ${item.queue} would hold more than ${bytesMax} bytes`).error;
}
