import type { Refusal } from '#shared/protocol/errors.ts';

/**
 * How long it counts who somebody proved to be, in milliseconds. A body may come in over half a minute and an answer
 * after a minute of waiting, and a revoked key must be refused within a second: what takes longer than this is asked for
 * once more before anything is done, or handed out.
 */
export const provedMsMax = 500;

/** What was shown with the request was good then, and is not now. */
export const proofEnded: Refusal = {
  code: 'unauthorized',
  message: 'the token of this request has ended meanwhile',
};
