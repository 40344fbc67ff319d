import { durationMs } from '#shared/protocol/durations.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import * as limits from '#shared/protocol/limits.ts';
import { isTooDeep, tooDeep } from '#shared/protocol/nesting.ts';
import {
  BatchEnvelope,
  CompleteItem,
  EnqueueMany,
  ExtendItem,
  FailItem,
  type Failure,
  Fetch,
  ReleaseItem,
  queueRequests,
} from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import type {
  CompleteRequest,
  ExtendRequest,
  FailRequest,
  LeaseRequest,
  ReleaseRequest,
} from './core/lease-decisions.ts';
import { keptValue } from './kept-value.ts';
import { readPlainSettlements } from './plain-settlements.ts';
import type { Each } from './queue-requests.ts';
import { inItem, readGivenLease, readLease } from './request-parts.ts';

const checkPlainEnvelope = validator(EnqueueMany);
const checkFinishEnvelope = validator(BatchEnvelope);
const checkFetch = validator(Fetch);

/** A request about leased items, single or batch, and what the finished ones make room for. */
export interface LeasedCall<T> {
  readonly single: boolean;
  readonly items: readonly Each<T>[];
  readonly fetch?: { readonly max: number; readonly leaseMs?: number };
}

function readComplete(item: CompleteItem): Result<CompleteRequest> {
  const { id, token } = item;
  if (item.result === undefined) return accept({ id, token });
  if (isTooDeep(item.result)) return tooDeep('result');
  const result = keptValue(item.result);
  if (result.length > limits.resultBytesMax) return tooLarge('result', result.length, limits.resultBytesMax);
  return accept({ id, token, result });
}

function readFail({ id, token, error, retry, delay }: FailItem): Result<FailRequest> {
  const delayed = readDelay(delay);
  if (!delayed.ok) return delayed;
  return accept({ id, token, error: wellFormed(error), retry: retry ?? true, ...delayed.value });
}

/** Workers cut long texts, and may do so in the middle of an emoji: half of it has no place in the log, nor in MessagePack. */
const wellFormed = ({ message, type, stack }: Failure): Failure => ({
  message: message.toWellFormed(),
  ...(type === undefined ? {} : { type: type.toWellFormed() }),
  ...(stack === undefined ? {} : { stack: stack.toWellFormed() }),
});

function readRelease({ id, token, delay }: ReleaseItem): Result<ReleaseRequest> {
  const delayed = readDelay(delay);
  return delayed.ok ? accept({ id, token, ...delayed.value }) : delayed;
}

function readDelay(delay: string | number | undefined): Result<{ readonly delayMs?: number }> {
  const delayMs = delay === undefined ? undefined : durationMs(delay);
  if (delayMs !== undefined && delayMs > limits.delayMsMax)
    return refuseField('delay', 'must be at most ten years');
  return accept(delayMs === undefined ? {} : { delayMs });
}

function readExtend({ id, token, lease, progress: note }: ExtendItem): Result<ExtendRequest> {
  const leaseMs = readGivenLease(lease);
  if (!leaseMs.ok) return leaseMs;
  if (note === undefined) return accept({ id, token, leaseMs: leaseMs.value });
  if (isTooDeep(note)) return tooDeep('progress');
  const progress = keptValue(note);
  if (progress.length > limits.progressBytesMax)
    return tooLarge('progress', progress.length, limits.progressBytesMax);
  return accept({ id, token, leaseMs: leaseMs.value, progress });
}

/**
 * As `leasedReaders` read a batch, straight from the bytes of JSON; undefined where there is more to read than ids and
 * tokens, and where something is wrong.
 */
export function readPlainLeased(
  operation: 'complete' | 'release',
  body: Uint8Array,
): LeasedCall<LeaseRequest> | undefined {
  const plain = readPlainSettlements(body);
  if (plain === undefined) return undefined;
  const { items, fetch } = plain;
  if (fetch !== undefined && (operation === 'release' || !checkFetch(fetch).ok)) return undefined;
  const call = withFetch(false, fetch, items);
  return call.ok ? call.value : undefined;
}

/** How each operation on leased items reads its request. Only finishing makes room for the next items (`fetch`). */
export const leasedReaders = {
  complete: leasedReader(
    validator(queueRequests.complete),
    validator(CompleteItem),
    readComplete,
    checkFinishEnvelope,
  ),
  fail: leasedReader(validator(queueRequests.fail), validator(FailItem), readFail, checkFinishEnvelope),
  extend: leasedReader(
    validator(queueRequests.extend),
    validator(ExtendItem),
    readExtend,
    checkPlainEnvelope,
  ),
  release: leasedReader(
    validator(queueRequests.release),
    validator(ReleaseItem),
    readRelease,
    checkPlainEnvelope,
  ),
} as const;

function leasedReader<S, I, R>(
  checkSingle: (value: unknown) => Result<S>,
  checkItem: (value: unknown) => Result<I>,
  read: (item: I) => Result<R>,
  envelope: (value: unknown) => Result<{ items: unknown[]; fetch?: Fetch }>,
): (body: unknown) => Result<LeasedCall<R>> {
  return (body) => {
    if (isBatch(body)) {
      const checked = envelope(body);
      if (!checked.ok) return checked;
      const { items, fetch } = checked.value;
      return withFetch(
        false,
        fetch,
        items.map((item, index) => readOne(item, index, checkItem, read)),
      );
    }
    const single = checkSingle(body);
    if (!single.ok) return single;
    const { fetch, ...item } = single.value as S & { fetch?: Fetch };
    const one = readOne(item, undefined, checkItem, read);
    return one.ok ? withFetch(true, fetch, [one]) : one;
  };
}

function readOne<I, R>(
  item: unknown,
  index: number | undefined,
  check: (value: unknown) => Result<I>,
  read: (item: I) => Result<R>,
): Each<R> {
  const checked = check(item);
  const one = checked.ok ? read(checked.value) : checked;
  return one.ok || index === undefined ? one : { ok: false, error: inItem(one.error, index) };
}

function withFetch<R>(
  single: boolean,
  fetch: Fetch | undefined,
  items: readonly Each<R>[],
): Result<LeasedCall<R>> {
  if (fetch === undefined) return accept({ single, items });
  const leaseMs = readLease(fetch.lease);
  if (!leaseMs.ok) return refuseField('fetch.lease', 'must be from 100ms to 1d');
  return accept({
    single,
    items,
    fetch: { max: fetch.max, ...(leaseMs.value === undefined ? {} : { leaseMs: leaseMs.value }) },
  });
}

const isBatch = (body: unknown): boolean => typeof body === 'object' && body !== null && 'items' in body;

const tooLarge = (field: string, bytes: number, max: number) =>
  refuse('payload_too_large', `${field} has ${bytes} bytes, the most is ${max}`, { field });
