import fc from 'fast-check';
import { type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { decode, encode } from '#shared/protocol/encoding.ts';
import { durationMs, formatDuration } from '#shared/protocol/durations.ts';
import { cacheRequests } from '#shared/protocol/cache-schemas.ts';
import { faultyPart } from '#shared/protocol/faulty-part.ts';
import { TelemetryBody } from '#shared/protocol/http-schemas.ts';
import { CreateToken } from '#shared/protocol/identity-schemas.ts';
import { fnv1a32 } from '#shared/protocol/partition.ts';
import { BatchEnvelope, EnqueueItem, queueRequests } from '#shared/protocol/queue-schemas.ts';
import { formatTime, timeMs } from '#shared/protocol/times.ts';
import { validator } from '#shared/protocol/validation.ts';

const faultOf = (schema: Parameters<typeof validator>[0], value: unknown) => {
  const checked = validator(schema)(value);
  return checked.ok ? undefined : { field: checked.error.details?.['field'], message: checked.error.message };
};

test('a refusal names the missing field', () => {
  expect(faultOf(queueRequests.get, {})).toEqual({ field: 'id', message: 'id is missing' });
});

test('a refusal names the unknown field', () => {
  expect(faultOf(queueRequests.get, { id: '1-1', colour: 'red' })).toEqual({
    field: 'colour',
    message: 'colour is not a known field',
  });
});

test('a refusal of a closed set of words lists the words', () => {
  expect(faultOf(EnqueueItem, { payload: 1, priority: 'urgent' })).toEqual({
    field: 'priority',
    message: 'priority must be one of critical, high, normal, low',
  });
});

test.each([
  [queueRequests.configure, { ordering: 'fair' }, 'ordering must be one of strict, weighted or null'],
  [
    queueRequests.configure,
    { concurrency: { total: 0 } },
    'concurrency.total must be a whole number from 1 to 1000000 or null',
  ],
  [queueRequests.configure, { concurrency: 3 }, 'concurrency must be an object {total?, perGroup?} or null'],
  [queueRequests.purge, { all: false }, 'all must be true'],
  [queueRequests.get, 'one', 'body must be an object {id}'],
  [queueRequests.get, null, 'body must be an object {id}'],
  [queueRequests.complete, [], 'body must be an object {id, token, result?, fetch?}'],
  [queueRequests['enqueue-many'], { items: {} }, 'items must be a list'],
  [EnqueueItem, { payload: 1, headers: { a: 1 } }, 'headers.a must be text of at most 1024 characters'],
  [EnqueueItem, { payload: 1, maxAttempts: '3' }, 'maxAttempts must be a whole number from 1 to 1000'],
  [
    CreateToken,
    { name: 'ada', grants: ['viewer'] },
    'grants[0] must be an object {role, queues?, namespaces?, cluster?, own?}',
  ],
  [CreateToken, { name: 'ada', grants: [] }, 'grants must not have fewer than 1 items'],
  [
    CreateToken,
    { name: 'ada', grants: [{ role: 'god' }] },
    'grants[0].role must be one of admin, operator, producer, worker, viewer',
  ],
])('a refusal says what was expected: %#', (schema, value, message) => {
  expect(faultOf(schema, value)?.message).toBe(message);
});

test('every refusal, of whatever is sent to whichever operation, is a sentence that begins with its field', () => {
  const schemas = [...Object.values(queueRequests), ...Object.values(cacheRequests), CreateToken];
  const words = ['id', 'items', 'ordering', 'payload', 'key', 'keys', 'state', 'retention', 'grants', 'ttl'];
  const value = fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...words), fc.jsonValue()));
  fc.assert(
    fc.property(fc.constantFrom(...schemas), value, (schema, given) => {
      const fault = faultOf(schema, given);
      if (fault === undefined) return;
      expect(fault.message.startsWith(String(fault.field))).toBe(true);
      expect(fault.message).toMatch(/ (is|must|cannot) /);
      expect(fault.message).not.toMatch(/allowed values|must be object|anyOf|undefined|constant$/);
    }),
  );
});

test('a refusal of a duration says how durations are written', () => {
  expect(faultOf(queueRequests.dequeue, { wait: '5 minutes' })?.message).toMatch(
    /^wait must be a duration such as/,
  );
});

test('a body that is no object is refused as the body', () => {
  expect(faultOf(queueRequests.get, 3)?.field).toBe('body');
});

test('a duration that was formatted parses to the same milliseconds', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 11 }), (ms) => durationMs(formatDuration(ms)) === ms),
  );
});

test.each(['', '5', '-1s', '1.5s', '1 s', '5 minutes', '1w'])('%j is no duration', (text) => {
  expect(durationMs(text)).toBeUndefined();
});

test('a time that was formatted parses to the same milliseconds', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 4 * 10 ** 12 }), (ms) => timeMs(formatTime(ms)) === ms));
});

test.each([
  '2026-02-31',
  'tomorrow',
  '',
  '2026-13-01T00:00:00Z',
  '2026-02-30T00:00:00Z',
  '2026-04-31T12:00:00+02:00',
])('%j is no time', (text) => {
  expect(timeMs(text)).toBeUndefined();
});

test('the partition hash is the one that nats-server uses', () => {
  // Published test vectors of FNV-1a, 32 bits.
  expect(fnv1a32('')).toBe(0x811c9dc5);
  expect(fnv1a32('a')).toBe(0xe40c292c);
  expect(fnv1a32('foobar')).toBe(0xbf9cf968);
});

test('every JSON value survives both encodings', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      // The MessagePack library renames members of that name, so that no message reaches a prototype.
      fc.pre(!text.includes('__proto__'));
      const plain = JSON.parse(text) as unknown;
      for (const encoding of ['application/json', 'application/msgpack'] as const) {
        const decoded = decode(encode(plain, encoding), encoding);
        expect(decoded).toEqual({ ok: true, value: plain });
      }
    }),
  );
});

test('a body that is not of its content type is a refusal, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      for (const encoding of ['application/json', 'application/msgpack'] as const) {
        const decoded = decode(bytes, encoding);
        if (!decoded.ok) expect(decoded.error.code).toBe('invalid_request');
      }
    }),
  );
});

test('an unknown field of any length is named in a few words', () => {
  const fault = faultOf(EnqueueItem, { payload: 1, ['k'.repeat(1_000_000)]: 1 });
  expect(fault?.field).toBe(`${'k'.repeat(256)}…`);
  expect(fault?.message.length).toBeLessThan(300);
});

test('a header that could not come back under its own name is refused', () => {
  const headers = JSON.parse('{"__proto__":"x"}') as unknown;
  expect(faultOf(EnqueueItem, { payload: 1, headers })?.field).toBe('headers.__proto__');
});

describe('what is far too large', () => {
  test('is refused without a search for faults in all of it', () => {
    let reads = 0;
    const items = new Proxy(
      Array.from({ length: 1_000_000 }, () => 1),
      {
        get: (target, name, receiver): unknown => {
          reads += 1;
          return Reflect.get(target, name, receiver);
        },
      },
    );
    const cases: readonly [TSchema, unknown, string][] = [
      [queueRequests['enqueue-many'], { items }, 'items must not have more than 1000 items'],
      [cacheRequests['get-many'], { keys: items }, 'keys must not have more than 1000 items'],
      [queueRequests.get, { id: items }, 'id must be an item id as enqueue returned it'],
      [Type.Union([queueRequests.extend, BatchEnvelope]), { items }, 'id is missing'],
    ];
    for (const [schema, value, message] of cases) {
      reads = 0;
      const part = faultyPart(schema, value);
      expect(reads).toBeLessThan(5_000);
      for (const given of [part, value]) expect(faultOf(schema, given)?.message).toBe(message);
    }
  });

  test('is refused for its number of names, whatever they stand for', () => {
    let reads = 0;
    const names = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`h${n}`, 'v']));
    const headers = new Proxy(names, {
      get: (target, name, receiver): unknown => {
        reads += 1;
        return Reflect.get(target, name, receiver);
      },
    });
    expect(faultOf(EnqueueItem, { payload: 1, headers })).toEqual({
      field: 'headers',
      message: 'headers must not have more than 32 properties',
    });
    expect(reads).toBe(0);
    const few = Object.fromEntries(Object.entries(names).slice(0, 32));
    expect(faultOf(EnqueueItem, { payload: 1, headers: few })).toBeUndefined();
  });

  test.each([2, 8, 9, 1_000])('names the first of %i unknown fields', (count) => {
    const fields = Array.from({ length: count }, (_, n) => [`f${n}`, 1] as const);
    expect(faultOf(queueRequests.get, { ...Object.fromEntries(fields), id: '1-1' })).toEqual({
      field: 'f0',
      message: 'f0 is not a known field',
    });
  });

  test('keeps its fault where most of it is left out', () => {
    const name = fc.constantFrom('items', 'id', 'token', 'lease', 'grants', 'schedules', 'search', 'other');
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom(null, true, 1, 'a', '1-1'),
        fc.array(tie('value')),
        fc.dictionary(name, tie('value')),
      ),
    })).value;
    const schemas: TSchema[] = [
      queueRequests.configure,
      BatchEnvelope,
      CreateToken,
      TelemetryBody,
      queueRequests.list,
    ];
    const checks = schemas.map((schema) => [schema, Compile(schema)] as const);
    fc.assert(
      fc.property(json, (value) => {
        for (const [schema, compiled] of checks)
          expect(compiled.Check(faultyPart(schema, value))).toBe(compiled.Check(value));
      }),
    );
  });
});
