import fc from 'fast-check';
import type { Item } from '#services/queue-broker/core/item.ts';
import { newItem } from '#services/queue-broker/core/new-item.ts';
import { type Backoff, defaultBackoff } from '#services/queue-broker/core/retry-policy.ts';
import { childFailures } from '#shared/protocol/queue-more-schemas.ts';
import { states } from '#shared/protocol/queue-schemas.ts';

/** An item with everything that must be there, and what the test says. */
export const madeItem = (given: Partial<Item> = {}): Item => ({
  order: 1,
  queue: 'mail',
  state: 'pending',
  band: 2,
  readyOrder: given.order ?? 1,
  readyAt: 0,
  attempt: 0,
  attemptsMax: 5,
  backoff: { kind: 'fixed', delayMs: 1_000 },
  enqueuedAt: 0,
  token: 0,
  attempts: [],
  transitions: [],
  payloadIsJson: true,
  payloadBytes: 2,
  ...given,
});

const time = fc.integer({ min: 0, max: 9_999_999_999_999 });
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
// Text that is text: a lone surrogate has no UTF-8, and the door refuses it.
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
// The one name that the protocol refuses.
const headerName = fc.string({ minLength: 1, maxLength: 20 }).filter((one) => one !== '__proto__');
const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const blob = fc.uint8Array({ maxLength: 40 });
const failure = fc.record({ message: text, type: text, stack: text }, { requiredKeys: ['message'] });
const state = fc.constantFrom(...states);
const backoff = fc.oneof(
  fc.record({ kind: fc.constant('fixed' as const), delayMs: time }),
  fc.record({ kind: fc.constant('exponential' as const), firstMs: time, capMs: time }),
);

const required = {
  order: fc.integer({ min: 1, max: 1_000 }),
  queue: name,
  state,
  band: fc.integer({ min: 0, max: 3 }),
  readyOrder: count,
  readyAt: time,
  attempt: fc.integer({ min: 0, max: 1_000 }),
  attemptsMax: fc.integer({ min: 1, max: 1_000 }),
  backoff,
  enqueuedAt: time,
  token: count,
  attempts: fc.array(
    fc.record(
      { attempt: count, startedAt: time, endedAt: time, error: failure, worker: text },
      { requiredKeys: ['attempt', 'startedAt'] },
    ),
    { maxLength: 20 },
  ),
  transitions: fc.array(fc.record({ at: time, from: fc.option(state), to: state, why: text }), {
    maxLength: 100,
  }),
  payloadIsJson: fc.boolean(),
  payloadBytes: fc.integer({ min: 0, max: 1_048_576 }),
};

/** Any item that there could be. */
export const anyItem: fc.Arbitrary<Item> = fc.record(
  {
    ...required,
    group: text,
    key: text,
    timeoutMs: time,
    expiresAt: time,
    runAt: time,
    startedAt: time,
    finishedAt: time,
    lease: fc.record(
      { leaseMs: time, expiresAt: time, worker: text, claim: text },
      { requiredKeys: ['leaseMs', 'expiresAt'] },
    ),
    settled: fc.record(
      {
        token: count,
        by: fc.constantFrom('complete' as const, 'fail' as const, 'release' as const),
        state,
        attempt: count,
        nextAttemptAt: time,
      },
      { requiredKeys: ['token', 'by', 'state', 'attempt'] },
    ),
    progress: blob,
    result: blob,
    contentType: text,
    inline: blob,
    fields: fc.dictionary(headerName, text, { maxKeys: 3, noNullPrototype: true }),
    parent: fc.record({ queue: name, id: text, index: fc.nat() }),
    family: fc.record({
      children: fc.nat(),
      below: fc.nat(),
      onChildFailure: fc.constantFrom(...childFailures),
    }),
    logged: fc.record({ count, bytes: count }),
    headers: fc.dictionary(headerName, text, {
      maxKeys: 8,
      noNullPrototype: true,
    }),
  },
  { requiredKeys: Object.keys(required) as (keyof typeof required)[] },
);

/** An item as `enqueue` makes it. */
export function enqueuedItem(given: {
  readonly order: number;
  readonly queue?: string;
  readonly band?: number;
  readonly payload?: Uint8Array;
  readonly payloadIsJson?: boolean;
  readonly attemptsMax?: number;
  readonly backoff?: Backoff;
  readonly at?: number;
  readonly readyOrder?: number;
}): Item {
  const { at = 1_000 + given.order, readyOrder = given.order, ...rest } = given;
  const plain = { queue: 'mail', band: 2, payload: Buffer.from('{}'), payloadIsJson: true, attemptsMax: 5 };
  const fact = { kind: 'enqueued' as const, ...plain, backoff: defaultBackoff, ...rest };
  return newItem(fact, { at, readyOrder, state: 'pending', fields: undefined });
}
