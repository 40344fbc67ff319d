import { expect, test } from 'vitest';
import { cacheRequests } from '#shared/protocol/cache-schemas.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { badRequests } from './bad-requests.ts';

test('each fault of a small schema is made once and named', () => {
  const made = [...badRequests(cacheRequests.touch, { key: 'a', ttl: '1s' })];
  const summary = made.map((one) => `${one.field}: ${one.why}`);
  expect(new Set(summary).size).toBe(summary.length);
  expect(summary).toEqual(
    expect.arrayContaining([
      'key: missing',
      'ttl: missing',
      'unknownField: unknown field',
      'key: too short',
      'key: too long',
      'key: wrong value null',
      'ttl: wrong value "not a word of it !"',
      'ttl: below 0',
      'ttl: above 999999999999',
      'body: wrong value null',
    ]),
  );
});

test('items of arrays are entered', () => {
  const schema = {
    type: 'object',
    properties: {
      items: { type: 'array', items: { type: 'object', properties: { n: { type: 'integer' } } } },
    },
  };
  expect([...badRequests(schema, { items: [{ n: 1 }, { n: 2 }] })]).toContainEqual({
    why: 'wrong value true',
    field: 'items[0].n',
    body: { items: [{ n: true }, { n: 2 }] },
  });
});

const valid: Readonly<Record<string, object>> = {
  get: { key: 'a' },
  set: { key: 'a', value: 1 },
  configure: { defaultTtl: '1m' },
  keys: { prefix: 'a' },
};

test.each(Object.keys(valid))('the validator refuses every bad %s by the field that is wrong', (name) => {
  const schema = cacheRequests[name as keyof typeof cacheRequests];
  const check = validator(schema);
  expect(check(valid[name])).toMatchObject({ ok: true });
  for (const bad of badRequests(schema, valid[name] ?? {}))
    expect({ ...bad, checked: check(bad.body) }).toMatchObject({
      checked: { ok: false, error: { code: 'invalid_request', details: { field: bad.field } } },
    });
});

test('the queue has its faults too', () => {
  const check = validator(queueRequests.dequeue);
  for (const bad of badRequests(queueRequests.dequeue, { max: 1 }))
    expect({ ...bad, ok: check(bad.body).ok }).toMatchObject({ ok: false });
});
