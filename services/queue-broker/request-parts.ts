import { durationMs } from '#shared/protocol/durations.ts';
import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { leaseMsMax, leaseMsMin } from '#shared/protocol/limits.ts';

// What requests of several kinds are read with.

/** Milliseconds, or undefined where the queue's own lease is meant. */
export function readLease(lease: string | number | undefined): Result<number | undefined> {
  return lease === undefined ? accept(undefined) : readGivenLease(lease);
}

export function readGivenLease(lease: string | number): Result<number> {
  const ms = durationMs(lease);
  if (ms === undefined || ms < leaseMsMin || ms > leaseMsMax)
    return refuseField('lease', 'must be from 100ms to 1d');
  return accept(ms);
}

/** A fault in one item of a batch names its place. */
export function inItem(fault: Refusal, index: number): Refusal {
  const field = String(fault.details?.['field'] ?? '');
  if (field === '') return fault;
  const place = field === 'body' ? `items[${index}]` : `items[${index}].${field}`;
  return {
    ...fault,
    message: place + fault.message.slice(field.length),
    details: { ...fault.details, field: place },
  };
}
