import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EnqueueItem } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { enqueueMessage, inHttpWords } from '#services/gateway/core/enqueue-message.ts';

test('options travel as headers, the payload alone as the body', () => {
  const message = enqueueMessage({
    queue_name: 'mails',
    payload: { to: 'a' },
    priority: 'high',
    delay: 1500,
    run_at: 1_780_000_000_000,
    max_retries: 2,
    backoff: 'fixed:5s',
    timeout: '1m',
    expires: '1h',
    group: 'tenant 7',
    idempotency_key: 'k-1',
  });
  expect(message).toEqual({
    operation: 'enqueue',
    payload: { to: 'a' },
    headers: {
      'Trivet-Priority': 'high',
      'Trivet-Delay': '1500ms',
      'Trivet-Run-At': '2026-05-28T20:26:40.000Z',
      'Trivet-Max-Attempts': '3',
      'Trivet-Backoff': 'fixed:5s',
      'Trivet-Timeout': '1m',
      'Trivet-Expires': '1h',
      'Trivet-Group': 'tenant 7',
      'Nats-Msg-Id': 'k-1',
    },
  });
});

test('no options, no headers', () => {
  expect(enqueueMessage({ queue_name: 'q', payload: null })).toEqual({
    operation: 'enqueue',
    payload: null,
    headers: {},
  });
});

test('no retries is one attempt', () => {
  const message = enqueueMessage({ queue_name: 'q', payload: 1, max_retries: 0 });
  expect(message).toMatchObject({ headers: { 'Trivet-Max-Attempts': '1' } });
});

test('user headers travel in the item form', () => {
  const message = enqueueMessage({
    queue_name: 'q',
    payload: 1,
    headers: { 'x-tenant': '7' },
    max_retries: 1,
    idempotency_key: 'k',
    run_at: '2026-01-31T12:00:00Z',
  });
  expect(message).toEqual({
    operation: 'enqueue-many',
    items: [
      { payload: 1, headers: { 'x-tenant': '7' }, maxAttempts: 2, key: 'k', runAt: '2026-01-31T12:00:00Z' },
    ],
  });
});

test.each([' leading', 'trailing ', 'two\nlines', 'schlüssel', '鍵', '\u0000'])(
  'a key that a header would change (%j) travels in the item form',
  (key) => {
    const message = enqueueMessage({ queue_name: 'q', payload: 1, idempotency_key: key, group: key });
    expect(message).toEqual({ operation: 'enqueue-many', items: [{ payload: 1, key, group: key }] });
  },
);

test('an item form is always one that the broker knows', () => {
  const check = validator(EnqueueItem);
  const optional = fc.record(
    {
      group: fc.string({ minLength: 1, maxLength: 256 }),
      idempotency_key: fc.string({ minLength: 1, maxLength: 256 }),
      max_retries: fc.integer({ min: 0, max: 999 }),
      delay: fc.integer({ min: 0, max: 10 ** 9 }),
      // The one name that the protocol refuses.
      headers: fc.dictionary(
        fc.string({ minLength: 1, maxLength: 20 }).filter((name) => name !== '__proto__'),
        fc.string(),
        { maxKeys: 5 },
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(optional, fc.jsonValue(), (options, payload) => {
      const message = enqueueMessage({ queue_name: 'q', payload, ...options });
      if (message.operation === 'enqueue-many') expect(check(message.items[0])).toMatchObject({ ok: true });
      else expect(message.payload).toBe(payload);
    }),
  );
});

test.each([
  ['maxAttempts', 'max_retries'],
  ['Trivet-Delay', 'delay'],
  ['Nats-Msg-Id', 'idempotency_key'],
  ['items[0].runAt', 'run_at'],
  ['payload', 'payload'],
])("the broker's %s is the caller's %s", (field, ours) => {
  const refusal = { code: 'invalid_request', message: `${field} is too large`, details: { field } } as const;
  expect(inHttpWords(refusal)).toEqual({
    code: 'invalid_request',
    message: `${ours} is too large`,
    details: { field: ours },
  });
});

test('a refusal that names no field stays as it is', () => {
  const refusal = { code: 'queue_full', message: 'the queue holds 10 items' } as const;
  expect(inHttpWords(refusal)).toBe(refusal);
});
