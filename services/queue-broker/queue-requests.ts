import { durationMs } from '#shared/protocol/durations.ts';
import type { Encoding } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { saysOneThing, singleHeader, twofold } from '#shared/protocol/headers.ts';
import * as limits from '#shared/protocol/limits.ts';
import type { Owners } from '#shared/protocol/owner.ts';
import {
  Dequeue,
  EnqueueItem,
  EnqueueMany,
  EnqueueOptions,
  OwnedItem,
  OwnedOptions,
} from '#shared/protocol/queue-schemas.ts';
import { optionHeaders } from '#shared/protocol/queue-words.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type MsgHdrs, unreadableHeader } from '#shared/runtime/nats.ts';
import type { DequeueRequest } from './core/dequeue-decision.ts';
import type { EnqueueRequest } from './core/enqueue-decisions.ts';
import {
  type ItemOptions,
  noOptions,
  ownedOptions,
  readEnqueueOptions,
  readItemOptions,
} from './core/item-options.ts';
import { readJsonItems } from './json-items.ts';
import { type Payload, rawPayload, valuePayload } from './payload.ts';
import { inItem, readLease } from './request-parts.ts';

// The door: what comes in as `unknown` leaves as the core's own requests, or as a refusal that names the field.

/** A request that can wait, with the wait that its caller asked for. */
export interface DequeueCall extends DequeueRequest {
  readonly waitMs: number;
}

/** One item of a batch: good, or refused alone. */
export type Each<T> = Result<T>;

const checkEnqueueMany = validator(EnqueueMany);
const checkEnqueueItem = validator(EnqueueItem);
const checkOptions = validator(EnqueueOptions);
const checkOwnedItem = validator(OwnedItem);
const checkOwnedOptions = validator(OwnedOptions);
const checkDequeue = validator(Dequeue);

const optionsCheck = (owners: Owners) => (owners === 'each' ? checkOwnedOptions : checkOptions);

const carriedApart = /^(nats-|content-type$|accept$)/i;

/** Ours: one that is not in the table is a misspelt option, never a header of the user's. */
const ownHeader = /^trivet-/i;

/** `enqueue` and plain publishes: the body is the payload, the options are headers. */
export function readEnqueue(
  queue: string,
  body: Uint8Array,
  headers: MsgHdrs | undefined,
  strict: boolean,
): Result<EnqueueRequest> {
  const unreadable = headers?.get(unreadableHeader) ?? '';
  if (unreadable !== '') return badHeaderName(unreadable);
  const given = headerOptions(headers);
  if (!given.ok) return given;
  const payload = rawPayload(body, given.value.contentType, strict);
  if (!payload.ok) return payload;
  return withOptions(queue, payload.value, given.value.options, headerFault);
}

const badHeaderName = (line: string) =>
  refuseField(
    line.split(':', 1)[0]?.slice(0, 64) ?? '',
    'is not a header that NATS allows: look at its name and for line breaks',
  );

/** Options that may be a number: of attempts, or of milliseconds. A header is always text. */
const numericOptions = new Set(['maxAttempts', 'delay', 'runAt', 'timeout', 'expires']);

const optionOf = new Map<string, string>(
  Object.entries(optionHeaders).map(([option, header]) => [header, option]),
);

interface GivenInHeaders {
  readonly contentType: string | undefined;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Options as the headers give them; `headers` are all others, such as `traceparent`, of each its first value. */
function headerOptions(headers: MsgHdrs | undefined): Result<GivenInHeaders> {
  const options: Record<string, unknown> = {};
  const others: [string, string][] = [];
  let contentType: string | undefined;
  for (const [name, values] of headers ?? []) {
    const [value = ''] = values;
    const option = optionOf.get(name);
    if ((option !== undefined || name === 'Content-Type') && !saysOneThing(values)) return twofold(name);
    if (option !== undefined) {
      if (value === '') continue;
      options[option] = numericOptions.has(option) && /^[0-9]{1,15}$/.test(value) ? Number(value) : value;
    } else if (name === 'Content-Type') contentType = value;
    else if (ownHeader.test(name)) options[name] = value;
    else if (!carriedApart.test(name)) others.push([name, value]);
  }
  if (others.length > 0) options['headers'] = Object.fromEntries(others);
  return accept({ contentType, options });
}

/** Names the header instead of the option that it stands for. */
function headerFault(fault: Refusal): Refusal {
  const field = String(fault.details?.['field'] ?? '');
  const header = Object.entries(optionHeaders).find(([name]) => name === field)?.[1];
  if (header === undefined) return fault;
  return {
    ...fault,
    message: header + fault.message.slice(field.length),
    details: { ...fault.details, field: header },
  };
}

function withOptions(
  queue: string,
  payload: Payload,
  given: unknown,
  rename: (fault: Refusal) => Refusal = (fault) => fault,
  owners: Owners = 'none',
): Result<EnqueueRequest> {
  const checked = optionsCheck(owners)(given);
  if (!checked.ok) return { ok: false, error: rename(checked.error) };
  const options = readEnqueueOptions(checked.value, owners);
  if (!options.ok) return { ok: false, error: rename(options.error) };
  return accept({ queue, ...payload, options: options.value });
}

/** A message as it was published, and the most bytes of a payload where it went. */
export interface Published {
  readonly queue: string;
  readonly body: Uint8Array;
  readonly headers: MsgHdrs | undefined;
  readonly payloadBytesMax: number;
}

/** A plain publish that cannot be understood is not lost: it becomes a failed item that says why. */
export function refusedPublish(
  { queue, body, headers, payloadBytesMax }: Published,
  fault: Refusal,
): EnqueueRequest {
  const defaults = readItemOptions({});
  if (!defaults.ok) throw new Error('an item without options is refused');
  const kept = usable(headers, 'Content-Type');
  const payload = rawPayload(body.slice(0, payloadBytesMax), kept, false);
  // Under its key it would be a duplicate of the item that it was to replace, and gone.
  const key = asksToReplace(headers) ? undefined : usable(headers, 'Nats-Msg-Id');
  const keyed = key === undefined ? {} : { key };
  return {
    queue,
    ...(payload.ok ? payload.value : { payload: body.slice(0, payloadBytesMax), payloadIsJson: false }),
    options: { ...defaults.value, ...keyed },
    refused: { message: fault.message, type: fault.code },
  };
}

function asksToReplace(headers: MsgHdrs | undefined): boolean {
  const values = headers?.values(optionHeaders.onDuplicate) ?? [];
  return values.some((value) => value !== '' && value !== 'keep');
}

/** A header of a publish that is refused: of one that says two things, or too much, nothing is kept. */
function usable(headers: MsgHdrs | undefined, name: string): string | undefined {
  const value = singleHeader(headers, name);
  return value.ok && value.value !== '' && value.value.length <= limits.keyLengthMax
    ? value.value
    : undefined;
}

export function readEnqueueMany(
  queue: string,
  body: unknown,
  encoding: Encoding,
  owners: Owners = 'none',
): Result<readonly Each<EnqueueRequest>[]> {
  const envelope = checkEnqueueMany(body);
  if (!envelope.ok) return envelope;
  const check = owners === 'each' ? checkOwnedItem : checkEnqueueItem;
  return accept(
    envelope.value.items.map((item, index) => {
      const checked = check(item);
      if (!checked.ok) return { ok: false, error: inItem(checked.error, index) };
      const { payload, ...options } = checked.value;
      const value = valuePayload(payload, encoding);
      const read = value.ok ? withOptions(queue, value.value, options, undefined, owners) : value;
      return read.ok ? read : { ok: false, error: inItem(read.error, index) };
    }),
  );
}

/**
 * As `readEnqueueMany`, straight from the bytes of JSON, and payloads stay as they came. Undefined where anything is
 * unusual or wrong: that is read once more by the schemas, which know what to say.
 */
export function readPlainEnqueueMany(
  queue: string,
  body: Uint8Array,
  owners: Owners = 'none',
): readonly Each<EnqueueRequest>[] | undefined {
  const items = readJsonItems(body);
  if (items === undefined || items.length > limits.batchItemsMax) return undefined;
  const requests: Each<EnqueueRequest>[] = [];
  const unasked = ownedOptions(noOptions, owners);
  for (const { payload, options } of items) {
    const given = options === undefined ? unasked : readOptions(options, owners);
    if (given === undefined) return undefined;
    requests.push(accept({ queue, payload, payloadIsJson: true, options: given }));
  }
  return requests;
}

function readOptions(given: unknown, owners: Owners): ItemOptions | undefined {
  const checked = optionsCheck(owners)(given);
  const read = checked.ok ? readEnqueueOptions(checked.value, owners) : checked;
  return read.ok ? read.value : undefined;
}

export function readDequeue(queue: string, body: unknown, claim: string | undefined): Result<DequeueCall> {
  const checked = checkDequeue(body);
  if (!checked.ok) return checked;
  const { max, wait, lease, worker } = checked.value;
  const waitMs = wait === undefined ? 0 : durationMs(wait);
  if (waitMs === undefined || waitMs > limits.waitMsMax) return refuseField('wait', 'must be at most 60s');
  const leaseMs = readLease(lease);
  if (!leaseMs.ok) return leaseMs;
  if (claim !== undefined && claim.length > limits.keyLengthMax)
    return refuseField('Nats-Msg-Id', `must have at most ${limits.keyLengthMax} characters`);
  return accept({
    queue,
    max: max ?? 1,
    waitMs,
    ...(leaseMs.value === undefined ? {} : { leaseMs: leaseMs.value }),
    // Half of a surrogate pair has no place in the log: the same worker would have another name after a restart.
    ...(worker === undefined ? {} : { worker: worker.toWellFormed() }),
    ...(claim === undefined || claim === '' ? {} : { claim }),
  });
}
