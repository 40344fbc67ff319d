import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Batch, Enqueued, Fact } from '#services/queue-broker/core/facts.ts';
import { decodeBatch, decodeFence, encodeBatch, encodeFence } from '#services/queue-broker/fact-codec.ts';
import { encodePlainItem } from '#services/queue-broker/plain-item-codec.ts';
import { packRecord } from '#shared/runtime/record-codec.ts';

const order = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const orders = fc.array(order, { maxLength: 20 });
const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const blob = fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes));
const time = fc.integer({ min: 0, max: 9_999_999_999_999 });

const backoffs = [
  { kind: 'exponential', firstMs: 1_000, capMs: 3_600_000 },
  { kind: 'exponential', firstMs: 1_000, capMs: 3_600_000 },
  { kind: 'exponential', firstMs: 2_000, capMs: 3_600_000 },
  { kind: 'fixed', delayMs: 1_000 },
] as const;

const fact: fc.Arbitrary<Fact> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('enqueued' as const),
      order,
      queue: text,
      band: fc.integer({ min: 0, max: 3 }),
      payload: blob,
      payloadIsJson: fc.boolean(),
      attemptsMax: fc.integer({ min: 1, max: 1_000 }),
      backoff: fc.constant({ kind: 'exponential' as const, firstMs: 1_000, capMs: 3_600_000 }),
      runAt: time,
      key: text,
      dedupUntil: time,
      // The one name that the protocol refuses.
      headers: fc.dictionary(
        text.filter((name) => name !== '__proto__'),
        text,
        { maxKeys: 6, noNullPrototype: true },
      ),
      refused: fc.record({ message: text, type: text }),
    },
    {
      requiredKeys: ['kind', 'order', 'queue', 'band', 'payload', 'payloadIsJson', 'attemptsMax', 'backoff'],
    },
  ),
  fc.record(
    { kind: fc.constant('claimed' as const), orders, leaseMs: time, worker: text, claim: text },
    { requiredKeys: ['kind', 'orders', 'leaseMs'] },
  ),
  fc.record(
    { kind: fc.constant('completed' as const), orders, result: blob },
    { requiredKeys: ['kind', 'orders'] },
  ),
  fc.record({
    kind: fc.constant('failed' as const),
    order,
    error: fc.record({ message: text }),
    mayRetry: fc.boolean(),
    nextAttemptAt: time,
  }),
  fc.record({ kind: fc.constantFrom('due' as const, 'expired' as const, 'replayed' as const), orders }),
  fc.record({ kind: fc.constantFrom('released' as const, 'cancelled' as const), order }),
  fc.record({ kind: fc.constant('queue-paused' as const), queue: text, paused: fc.boolean() }),
);

/** Items that follow each other and are mostly alike, as a batch of one queue makes them. */
const run: fc.Arbitrary<readonly Fact[]> = fc
  .record({
    first: fc.integer({ min: 1, max: 2 ** 50 }),
    items: fc.array(
      fc.record({
        skipped: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1),
        queue: fc.constantFrom('a', 'a', 'a', 'a', 'b'),
        band: fc.integer({ min: 0, max: 3 }),
        payload: blob,
        payloadIsJson: fc.constantFrom(true, true, true, true, false),
        attemptsMax: fc.constantFrom(5, 5, 5, 5, 6),
        backoff: fc.constantFrom(...backoffs),
        group: fc.constantFrom(undefined, undefined, undefined, undefined, 'g'),
      }),
      { maxLength: 40 },
    ),
  })
  .map(({ first, items }) => {
    let next = first;
    return items.map(({ skipped, group, ...fields }) => {
      next += skipped;
      const made = { kind: 'enqueued' as const, order: next, ...fields };
      next += 1;
      return group === undefined ? made : { ...made, group };
    });
  });

const batch: fc.Arbitrary<Batch> = fc.record({
  version: fc.constant(3 as const),
  epoch: order,
  at: time,
  facts: fc
    .array(
      fc.oneof(
        fact.map((one) => [one]),
        run,
      ),
      { maxLength: 20 },
    )
    .map((parts) => parts.flat()),
});

test('any batch is read as it was written', () => {
  fc.assert(
    fc.property(batch, (one) => {
      expect(decodeBatch(encodeBatch(one), 1)).toEqual(one);
    }),
  );
});

test('a batch of items of which no two have the same headers is read as it was written', () => {
  const facts = Array.from({ length: 2_000 }, (_, index): Fact => ({
    kind: 'enqueued',
    order: index + 1,
    queue: 'mail',
    band: 2,
    payload: Buffer.from(`${index}`),
    payloadIsJson: true,
    attemptsMax: 5,
    backoff: { kind: 'fixed', delayMs: 1 },
    headers: { [`h${index}`]: 'a', [`i${index % 7}`]: 'b' },
  }));
  const one: Batch = { version: 3, epoch: 1, at: 2, facts };
  expect(decodeBatch(encodeBatch(one), 1)).toEqual(one);
});

test('what was read does not change when the next record is written', () => {
  const facts = (word: string): readonly Fact[] => [
    { kind: 'completed', orders: [1], result: Buffer.from(word) },
  ];
  const bytes = encodeBatch({ version: 3, epoch: 1, at: 1, facts: facts('first') });
  const read = decodeBatch(bytes, 1);
  for (let count = 0; count < 100; count += 1)
    encodeBatch({ version: 3, epoch: 1, at: 1, facts: facts('other') });
  expect(read.facts).toEqual(facts('first'));
});

test('a fence is read as it was written', () => {
  const fence = { version: 1, broker: 'a', at: 5 } as const;
  expect(decodeFence(encodeFence(fence), 1)).toEqual(fence);
});

test('a record of a newer version is refused, with its place in the log', () => {
  const newer = packRecord({ version: 4, epoch: 1, at: 1, facts: [] });
  expect(() => decodeBatch(newer, 77)).toThrow(
    'record 77 of the log has version 4, this broker reads up to 3',
  );
  expect(() => decodeFence(packRecord({ version: 2, broker: 'a', at: 1 }), 78)).toThrow('record 78');
});

test('a record that is damaged, or no record at all, is refused', () => {
  const bytes = encodeBatch({ version: 3, epoch: 1, at: 1, facts: [{ kind: 'released', order: 1 }] });
  expect(() => decodeBatch(bytes.subarray(0, bytes.length - 2), 1)).toThrow();
  expect(() => decodeBatch(packRecord({ something: 'else' }), 1)).toThrow('version');
});

test('a record of the first version is read: each completed item stands alone there', () => {
  const result = Buffer.from('result');
  const facts = [
    { kind: 'released', order: 1 },
    { kind: 'completed', order: 2 },
    { kind: 'completed', order: 3, result },
  ];
  expect(decodeBatch(packRecord({ version: 1, epoch: 4, at: 5, facts }), 6)).toEqual({
    version: 3,
    epoch: 4,
    at: 5,
    facts: [
      { kind: 'released', order: 1 },
      { kind: 'completed', orders: [2] },
      { kind: 'completed', orders: [3], result },
    ],
  });
});

/** What every item has. */
type CommonField =
  'kind' | 'order' | 'queue' | 'band' | 'payload' | 'payloadIsJson' | 'attemptsMax' | 'backoff';

const plain = (order: number, payload: string): Enqueued => ({
  kind: 'enqueued',
  order,
  queue: 'mail',
  band: 2,
  payload: Buffer.from(payload),
  payloadIsJson: true,
  attemptsMax: 5,
  backoff: backoffs[0],
});

test('a record of the second version is read: each plain item stands alone there', () => {
  const facts = [plain(1, '"a"'), plain(2, '"b"')];
  const written = packRecord({ version: 2, epoch: 4, at: 5, facts: facts.map(encodePlainItem) });
  expect(decodeBatch(written, 6)).toEqual({ version: 3, epoch: 4, at: 5, facts });
});

test('items that are alike cost the log little more than their payloads', () => {
  const facts = Array.from({ length: 500 }, (_, index) => plain(index + 1, 'x'.repeat(100)));
  expect(encodeBatch({ version: 3, epoch: 1, at: 2, facts }).length).toBeLessThan(500 * 103);
});

test('an item with anything of its own beside its payload comes back with it, among others that are alike', () => {
  const own: Required<Omit<Enqueued, CommonField>> = {
    runAt: 5,
    timeoutMs: 6,
    expiresAt: 7,
    group: 'g',
    key: 'k',
    dedupUntil: 8,
    supersedes: 9,
    contentType: 'text/plain',
    headers: { a: 'b' },
    refused: { message: 'broken' },
    blocked: true,
    parent: { queue: 'mail', id: '0-1', index: 2 },
    family: { children: 1, below: 1, onChildFailure: 'fail' },
    member: { flow: 3 } as unknown as NonNullable<Enqueued['member']>,
  };
  for (const [name, value] of Object.entries(own)) {
    const facts = [plain(1, '1'), plain(2, '2'), { ...plain(3, '3'), [name]: value }, plain(4, '4')];
    expect(decodeBatch(encodeBatch({ version: 3, epoch: 1, at: 2, facts }), 1).facts, name).toEqual(facts);
  }
});
