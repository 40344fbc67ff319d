import { pack } from 'msgpackr';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { searchFields } from '#services/queue-broker/core/search-fields.ts';

const json = (value: unknown) => ({
  payload: new TextEncoder().encode(JSON.stringify(value)),
  payloadIsJson: true,
});

test('strings, numbers and booleans are kept as text, by the path that was declared', () => {
  const payload = { user: { email: 'Ada@example.org', age: 36, isNew: false }, total: 1.5, 'a b': 1 };
  const paths = ['user.email', 'user.age', 'user.isNew', 'total'];
  expect(searchFields(paths, json(payload))).toEqual({
    'user.email': 'Ada@example.org',
    'user.age': '36',
    'user.isNew': 'false',
    total: '1.5',
  });
});

test('what is not there, or is no text, is left out', () => {
  const payload = { user: { names: ['ada'], none: null, inner: {} }, text: 'x' };
  const paths = ['user.names', 'user.none', 'user.inner', 'text.length', 'user.toString', 'nobody'];
  expect(searchFields(paths, json(payload))).toBeUndefined();
  for (const value of [null, 1, 'text', [1], []])
    expect(searchFields(['user', 'length', '0'], json(value))?.['user']).toBeUndefined();
});

test('payloads in MessagePack are read as JSON is; other bytes are not read', () => {
  const payload = pack({ user: { email: 'ada', big: 2n ** 60n } });
  const packed = { payload, payloadIsJson: false, contentType: 'application/msgpack' };
  const paths = ['user.email', 'user.big'];
  expect(searchFields(paths, packed)).toEqual({ 'user.email': 'ada', 'user.big': String(2n ** 60n) });
  expect(searchFields(paths, { ...packed, contentType: 'image/png' })).toBeUndefined();
  expect(searchFields(paths, { payload, payloadIsJson: false })).toBeUndefined();
  expect(searchFields(paths, { ...packed, payload: new Uint8Array([0xc1]) })).toBeUndefined();
  expect(searchFields([], packed)).toBeUndefined();
});

test('a text is kept up to 256 characters, and always as text that can be written', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (text) => {
      const kept = searchFields(['t'], json({ t: text }))?.['t'] ?? '';
      expect(Array.from(kept).length).toBe(Math.min(256, Array.from(text).length));
      expect(text.startsWith(kept)).toBe(true);
    }),
  );
  expect(searchFields(['t'], json({ t: '\ud800' }))).toEqual({ t: '\ufffd' });
});
