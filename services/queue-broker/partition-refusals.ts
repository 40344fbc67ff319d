import type { Refusal } from '#shared/protocol/errors.ts';

export const notOwner: Refusal = {
  code: 'unavailable',
  message: 'this broker no longer owns the queue, ask again',
};
export const outcomeUnknown: Refusal = {
  code: 'timeout',
  message: 'the outcome is not known: ask again, with the same key or token',
};
export const logFull: Refusal = {
  code: 'queue_full',
  message: 'the log of this queue is nearly full: finish items first',
};
