import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EnqueueItem } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import {
  inHttpWords,
  inSingleWords,
  itemText,
  optionsOf,
  withKey,
} from '#services/gateway/core/enqueue-item.ts';

test('the options of the body become those of the protocol', () => {
  expect(
    optionsOf({
      queue_name: 'mails',
      payload: { to: 'a' },
      priority: 'high',
      delay: 1500,
      run_at: 1_780_000_000_000,
      max_retries: 0,
      backoff: 'fixed:5s',
      timeout: '1m',
      expires: '1h',
      group: 'tenant 7',
      idempotency_key: 'k-1',
      headers: { 'x-tenant': '7' },
    }),
  ).toEqual({
    priority: 'high',
    delay: 1500,
    runAt: 1_780_000_000_000,
    maxAttempts: 1,
    backoff: 'fixed:5s',
    timeout: '1m',
    expires: '1h',
    group: 'tenant 7',
    key: 'k-1',
    headers: { 'x-tenant': '7' },
  });
  expect(optionsOf({ queue_name: 'q', payload: null })).toEqual({});
});

test('an item is always one that the broker knows, with the payload that was sent', () => {
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
    fc.property(optional, fc.jsonValue(), fc.nat(3), (options, payload, indent) => {
      const request = { queue_name: 'q', payload, ...options };
      const item = JSON.parse(
        itemText(Buffer.from(JSON.stringify(request, null, indent)), optionsOf(request), {}),
      ) as {
        readonly payload: unknown;
      };
      expect(check(item)).toMatchObject({ ok: true });
      expect(item.payload).toEqual(JSON.parse(JSON.stringify(payload)));
    }),
  );
});

test('a payload that is written twice is the last one, as JSON.parse has it', () => {
  expect(itemText(Buffer.from('{"payload":1,"queue_name":"q","payload":12345678901234567890}'), {}, {})).toBe(
    '{"payload":12345678901234567890}',
  );
});

test('trace context stands below the headers of the caller, and gives way where there is no room', () => {
  const trace = { traceparent: '00-a', tracestate: 'b' };
  const headersIn = (headers: Record<string, string> | undefined) =>
    (
      JSON.parse(itemText(Buffer.from('{"payload":1}'), headers === undefined ? {} : { headers }, trace)) as {
        headers: unknown;
      }
    ).headers;
  expect(headersIn(undefined)).toEqual(trace);
  expect(headersIn({ traceparent: 'own', x: '1' })).toEqual({ ...trace, traceparent: 'own', x: '1' });
  const full = Object.fromEntries(Array.from({ length: 31 }, (_, index) => [`h${index}`, '1']));
  expect(headersIn(full)).toEqual(full);
});

test("the request's key and the body's are one, or the request is refused", () => {
  expect(withKey({}, 'k', 'key')).toEqual({ ok: true, value: { key: 'k' } });
  expect(withKey({ key: 'k' }, 'k', 'key')).toEqual({ ok: true, value: { key: 'k' } });
  expect(withKey({ key: 'k' }, undefined, 'key')).toEqual({ ok: true, value: { key: 'k' } });
  expect(withKey({ key: 'k' }, 'other', 'key')).toMatchObject({
    ok: false,
    error: { code: 'invalid_request', message: 'Idempotency-Key and key differ' },
  });
});

test.each([
  ['maxAttempts', 'max_retries'],
  ['items[17].key', 'idempotency_key'],
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

test('an item among many is refused as the one that its caller sent', () => {
  const refusal = {
    code: 'invalid_request',
    message: 'items[3].maxAttempts is too large',
    details: { field: 'items[3].maxAttempts' },
  } as const;
  expect(inSingleWords(refusal)).toMatchObject({
    message: 'maxAttempts is too large',
    details: { field: 'maxAttempts' },
  });
});

test('a refusal that names no field stays as it is', () => {
  const refusal = { code: 'queue_full', message: 'the queue holds 10 items' } as const;
  expect(inHttpWords(refusal)).toBe(refusal);
});
