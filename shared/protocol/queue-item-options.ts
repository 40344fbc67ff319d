import { Type } from 'typebox';
import { Duration, Key, KeyText, Time, Word } from './fields.ts';
import * as limits from './limits.ts';
import { onDuplicates, priorities } from './queue-words.ts';

export type QueuePriority = (typeof priorities)[number];
export const QueuePriority = Word(priorities);

/** `exponential:1s:1h` (first delay, cap), `fixed:5s`. */
export const Backoff = Type.String({
  pattern: '^(exponential:[0-9]{1,9}(ms|s|m|h|d):[0-9]{1,9}(ms|s|m|h|d)|fixed:[0-9]{1,9}(ms|s|m|h|d))$',
  'x-expected': '"exponential:<first>:<cap>" or "fixed:<delay>", such as "exponential:1s:1h" or "fixed:5s"',
});

const headersOf = (headersMax: number) =>
  Type.Record(KeyText(128), Type.String({ maxLength: limits.headerLengthMax }), {
    additionalProperties: false,
    maxProperties: headersMax,
    'x-expected': `an object of at most ${headersMax} strings, with names of 1 to 128 characters`,
  });

export const UserHeaders = headersOf(limits.headersMax);

export type OnDuplicate = (typeof onDuplicates)[number];

/** What an enqueued item may ask for besides its payload. */
export const itemOptions = {
  priority: Type.Optional(QueuePriority),
  delay: Type.Optional(Duration),
  runAt: Type.Optional(Time),
  maxAttempts: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.attemptsMax })),
  backoff: Type.Optional(Backoff),
  timeout: Type.Optional(Duration),
  expires: Type.Optional(Duration),
  group: Type.Optional(Key),
  key: Type.Optional(Key),
  onDuplicate: Type.Optional(Word(onDuplicates)),
  headers: Type.Optional(UserHeaders),
};

/** The same from a service that says among each item's headers whose it is: that one takes none of the caller's own. */
export const ownedItemOptions = {
  ...itemOptions,
  headers: Type.Optional(headersOf(limits.headersMax + 1)),
};
