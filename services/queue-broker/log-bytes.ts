import { payloadBytesLimit } from '#shared/protocol/limits.ts';
import type { EnqueueRequest } from './core/enqueue-decisions.ts';
import type { Claimed } from './core/facts.ts';
import type { LeaseRequest } from './core/lease-decisions.ts';

// What requests add to the log, in bytes and rather too many than too few: a group of them must fit one message.

/** Bytes of a request and its facts besides payloads, texts and results, roughly. */
export const itemBytes = 256;

/** Bytes of one order among those that a fact names. */
const orderBytes = 6;

/** A character of a header or a key takes at most three bytes in UTF-8. */
const characterBytes = 3;

/** An item that is enqueued. Headers count: thirty-two of them can be far larger than the payload. */
export function enqueueBytes({ payload, contentType, options }: EnqueueRequest): number {
  const { headers = none, group = '', key = '' } = options;
  let characters = (contentType ?? '').length + group.length + key.length;
  for (const name in headers) characters += name.length + (headers[name]?.length ?? 0);
  // A larger payload is refused.
  return itemBytes + Math.min(payload.length, payloadBytesLimit) + characters * characterBytes;
}

const none: Readonly<Record<string, string>> = {};

export const dequeueBytes = (max: number): number => itemBytes + max * orderBytes;

/** Items that are cancelled by their state: each is a fact of its own. */
export const cancelBytes = (items: number): number => itemBytes + items * cancelledBytes;
const cancelledBytes = 24;

/** A claim as it stands in the log. */
export const claimBytes = ({ orders, worker = '', claim = '' }: Claimed): number =>
  claimEnvelopeBytes + orders.length * orderBytes + (worker.length + claim.length) * characterBytes;

/** Of a claim besides its orders and names: the names of its fields, most of all. */
const claimEnvelopeBytes = 64;

/** A request about a leased item, with what it leaves in the log besides its end. */
export type NotedRequest = LeaseRequest & { readonly result?: Uint8Array; readonly progress?: Uint8Array };

/** Bytes of result and progress as they are logged: encoded anew, and so up to twice what came in. */
export const notedBytes = ({ result, progress }: NotedRequest): number =>
  (result?.length ?? 0) + (progress?.length ?? 0);
