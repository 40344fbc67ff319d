import { jsonText } from '#shared/protocol/encoding.ts';
import { type Refusal, TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import { batchItemsMax, resultBytesMax } from '#shared/protocol/limits.ts';
import type { Failure } from '#shared/protocol/queue-schemas.ts';
import { DoNotRetry, RetryAfter, RetryIn, failureOf } from './handler-errors.ts';
import type { RunningJob } from './job.ts';

/** How a job went: the operation that says so, and its item in the batch of that operation, as JSON text. */
export interface Settlement {
  readonly job: RunningJob;
  readonly operation: SettlingOperation;
  readonly text: string;
}

/** In the order in which they are sent. */
export const settlingOperations = ['release', 'fail', 'complete'] as const;
export type SettlingOperation = (typeof settlingOperations)[number];

/** Bytes of one message, as far as results and stacks make it grow. */
const messageLengthMax = 2 * 1_048_576;

/** A handler that returned. A result that cannot be kept fails the attempt. */
export function completed(job: RunningJob, result: unknown): Settlement {
  if (result === undefined) return { job, operation: 'complete', text: `${headOf(job)}}` };
  try {
    return { job, operation: 'complete', text: `${headOf(job)},"result":${resultText(result)}}` };
  } catch (error) {
    return failed(job, error);
  }
}

/** A handler that threw: see `handler-errors.ts` for what it can say. */
export function failed(job: RunningJob, error: unknown): Settlement {
  if (error instanceof RetryAfter) return released(job, error.delayMs);
  const failure = jsonText(failureOf(error));
  const retry = error instanceof DoNotRetry || error instanceof InvalidPayload ? ',"retry":false' : '';
  const delay = error instanceof RetryIn ? `,"delay":${error.delayMs}` : '';
  return { job, operation: 'fail', text: `${headOf(job)},"error":${failure}${retry}${delay}}` };
}

/** A failure that no handler threw. */
export const failedWith = (job: RunningJob, error: Failure): Settlement => ({
  job,
  operation: 'fail',
  text: `${headOf(job)},"error":${jsonText(error)}}`,
});

/** Handed back, uncharged. */
export const released = (job: RunningJob, delayMs = 0): Settlement => ({
  job,
  operation: 'release',
  text: `${headOf(job)}${delayMs === 0 ? '' : `,"delay":${delayMs}`}}`,
});

/** The payload does not fit the worker's schema: no attempt will make it fit. */
export class InvalidPayload extends Error {
  constructor(refusal: Refusal) {
    super(refusal.message);
    this.name = 'invalid_payload';
  }
}

/** Messages of one operation, each of at most 1,000 items. */
export function messagesOf(settlements: readonly Settlement[]): (readonly Settlement[])[] {
  const messages: Settlement[][] = [];
  let open: Settlement[] = [];
  let length = 0;
  for (const settlement of settlements) {
    if (
      open.length === batchItemsMax ||
      (open.length > 0 && length + settlement.text.length > messageLengthMax)
    ) {
      messages.push(open);
      open = [];
      length = 0;
    }
    open.push(settlement);
    length += settlement.text.length;
  }
  if (open.length > 0) messages.push(open);
  return messages;
}

// Ids and tokens are the broker's own words, which JSON has nothing to escape in.
const headOf = (job: RunningJob): string => `{"id":"${job.id}","token":${job.token}`;

function resultText(result: unknown): string {
  const text = jsonText(result) as string | undefined;
  if (text === undefined)
    throw new TrivetError(refuseField('result', 'must be a JSON value: no function, no symbol').error);
  if (text.length <= resultBytesMax / 3 || Buffer.byteLength(text) <= resultBytesMax) return text;
  throw new TrivetError(
    refuse('payload_too_large', `result must be at most ${resultBytesMax} bytes`, { field: 'result' }).error,
  );
}
