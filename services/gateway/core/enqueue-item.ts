import { type Result, type Refusal, accept, refuseField } from '#shared/protocol/errors.ts';
import type { QueueRequest } from '#shared/protocol/http-schemas.ts';
import { isNamed, visitMembers } from '#shared/protocol/json-spans.ts';
import { headersMax } from '#shared/protocol/limits.ts';
import { ownerHeader } from '#shared/protocol/owner.ts';
import type { EnqueueItem } from '#shared/protocol/queue-schemas.ts';

/** An item without its payload. */
export type ItemOptions = Omit<EnqueueItem, 'payload'>;

/** The options of `POST /queue/enqueue` in the protocol's words. Pure; never throws. */
export function optionsOf(request: QueueRequest): ItemOptions {
  const { queue_name: _queue, payload: _payload, max_retries, idempotency_key, run_at, ...same } = request;
  return {
    ...same,
    ...(max_retries === undefined ? {} : { maxAttempts: max_retries + 1 }),
    ...(idempotency_key === undefined ? {} : { key: idempotency_key }),
    ...(run_at === undefined ? {} : { runAt: run_at }),
  };
}

/** Beside the body's own key, which says the same or nothing. */
export function withKey(
  options: ItemOptions,
  idempotencyKey: string | undefined,
  nameOfKey: string,
): Result<ItemOptions> {
  if (idempotencyKey === undefined || options.key === idempotencyKey) return accept(options);
  if (options.key === undefined) return accept({ ...options, key: idempotencyKey });
  return refuseField('Idempotency-Key', `and ${nameOfKey} differ`);
}

/** The item with its owner, where it has one: the caller's own headers cannot name another. */
export const withOwner = (options: ItemOptions, owner: string | undefined): ItemOptions =>
  owner === undefined ? options : { ...options, headers: { ...options.headers, [ownerHeader]: owner } };

/** Trace context takes two headers; an item that has no room for them goes without. */
const traceHeadersMax = 2;

/**
 * An item of `enqueue-many` as JSON text, its payload as it came: what JavaScript cannot hold (an integer beyond 2^53)
 * is not lost on the way.
 * @param body         a JSON object that has `payload`
 * @param traceHeaders stand below the caller's own headers
 */
export function itemText(
  body: Uint8Array,
  options: ItemOptions,
  traceHeaders: Readonly<Record<string, string>>,
): string {
  const payload = memberText(body, 'payload') ?? 'null';
  const rest = JSON.stringify(withTrace(options, traceHeaders));
  return rest === '{}' ? `{"payload":${payload}}` : `{"payload":${payload},${rest.slice(1)}`;
}

function withTrace(options: ItemOptions, traceHeaders: Readonly<Record<string, string>>): ItemOptions {
  if (traceHeaders['traceparent'] === undefined) return options;
  const own = options.headers ?? {};
  if (Object.keys(own).length > headersMax - traceHeadersMax) return options;
  return { ...options, headers: { ...traceHeaders, ...own } };
}

/** The text of a member; of the last one, as JSON.parse has it, where its name stands twice. */
function memberText(object: Uint8Array, name: string): string | undefined {
  let found: string | undefined;
  visitMembers(object, 0, (memberName, { start, end }) => {
    if (isNamed(object, memberName, name))
      found = Buffer.from(object.buffer, object.byteOffset + start, end - start).toString();
  });
  return found;
}

/** The broker's names for fields that are called otherwise in the HTTP body. */
const httpFields: Readonly<Record<string, string>> = {
  maxAttempts: 'max_retries',
  runAt: 'run_at',
  key: 'idempotency_key',
};

/** The broker's refusal of one item among many as that of a request for one. */
export const inSingleWords = (refusal: Refusal): Refusal => renamed(refusal, (name) => name);

/** The same in the words of `POST /queue/enqueue`, whose caller never saw `maxAttempts`. */
export const inHttpWords = (refusal: Refusal): Refusal =>
  renamed(refusal, (name) => httpFields[name] ?? name);

function renamed(refusal: Refusal, rename: (name: string) => string): Refusal {
  const field = refusal.details?.['field'];
  if (typeof field !== 'string') return refusal;
  const ours = rename(field.replace(/^items\[[0-9]+\]\./, ''));
  const message = refusal.message.startsWith(field)
    ? `${ours}${refusal.message.slice(field.length)}`
    : refusal.message;
  return { ...refusal, message, details: { ...refusal.details, field: ours } };
}
