import { formatTime } from '#shared/protocol/times.ts';
import type { Refusal } from '#shared/protocol/errors.ts';
import type { QueueRequest } from '#shared/protocol/http-schemas.ts';
import type { EnqueueItem } from '#shared/protocol/queue-schemas.ts';

/** An enqueue as NATS takes it: the payload with options in headers, or the item form where headers cannot carry it. */
export type EnqueueMessage =
  | {
      readonly operation: 'enqueue';
      readonly payload: unknown;
      readonly headers: Readonly<Record<string, string>>;
    }
  | { readonly operation: 'enqueue-many'; readonly items: readonly [EnqueueItem] };

// NATS trims a header's value, and a line break would end it: what is not plain printable ASCII travels in the body.
const headerExpression = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** Translates the body of `POST /queue/enqueue`. Pure; never throws. */
export function enqueueMessage(request: QueueRequest): EnqueueMessage {
  const headers = optionHeaders(request);
  const carried = Object.values(headers).every((value) => headerExpression.test(value));
  if (request.headers === undefined && carried)
    return { operation: 'enqueue', payload: request.payload, headers };
  return { operation: 'enqueue-many', items: [itemOf(request)] };
}

function optionHeaders(request: QueueRequest): Readonly<Record<string, string>> {
  const headers: Record<string, string | undefined> = {
    'Trivet-Priority': request.priority,
    'Trivet-Delay': durationText(request.delay),
    'Trivet-Run-At': typeof request.run_at === 'number' ? formatTime(request.run_at) : request.run_at,
    'Trivet-Max-Attempts': request.max_retries === undefined ? undefined : String(request.max_retries + 1),
    'Trivet-Backoff': request.backoff,
    'Trivet-Timeout': durationText(request.timeout),
    'Trivet-Expires': durationText(request.expires),
    'Trivet-Group': request.group,
    'Nats-Msg-Id': request.idempotency_key,
  };
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

const durationText = (duration: string | number | undefined): string | undefined =>
  typeof duration === 'number' ? `${duration}ms` : duration;

function itemOf(request: QueueRequest): EnqueueItem {
  const { queue_name: _queue, max_retries, idempotency_key, run_at, ...same } = request;
  return {
    ...same,
    ...(max_retries === undefined ? {} : { maxAttempts: max_retries + 1 }),
    ...(idempotency_key === undefined ? {} : { key: idempotency_key }),
    ...(run_at === undefined ? {} : { runAt: run_at }),
  };
}

/** The broker's names for fields that are called otherwise in the HTTP body. */
const httpFields: Readonly<Record<string, string>> = {
  maxAttempts: 'max_retries',
  runAt: 'run_at',
  key: 'idempotency_key',
  'Trivet-Priority': 'priority',
  'Trivet-Delay': 'delay',
  'Trivet-Run-At': 'run_at',
  'Trivet-Max-Attempts': 'max_retries',
  'Trivet-Backoff': 'backoff',
  'Trivet-Timeout': 'timeout',
  'Trivet-Expires': 'expires',
  'Trivet-Group': 'group',
  'Nats-Msg-Id': 'idempotency_key',
};

/** The broker's refusal in the words of the caller, who never saw `maxAttempts` or `Trivet-Delay`. */
export function inHttpWords(refusal: Refusal): Refusal {
  const field = refusal.details?.['field'];
  const named = typeof field === 'string' ? field.replace(/^items\[0\]\./, '') : undefined;
  if (typeof field !== 'string' || named === undefined) return refusal;
  const ours = httpFields[named] ?? named;
  const message = refusal.message.startsWith(field)
    ? `${ours}${refusal.message.slice(field.length)}`
    : refusal.message;
  return { ...refusal, message, details: { ...refusal.details, field: ours } };
}
