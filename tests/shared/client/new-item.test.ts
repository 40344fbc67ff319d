import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesHeaders, itemText } from '#shared/client/new-item.ts';
import { jsonText } from '#shared/protocol/encoding.ts';

const textOf = (payload: unknown, options = {}) => itemText({ queue: 'q', payload, options });

test('an item is written as the encoding writes it, whichever way it takes', () => {
  const payloads = [
    { to: 'ada@example.org', n: 1.5, ok: true },
    { none: undefined, nothing: null },
    { big: 2n ** 70n },
    { bytes: Buffer.from([1, 2]) },
    { nested: { bytes: new Uint8Array([3]) } },
    new Date(0),
    { toJSON: () => ({ own: true }) },
    new (class {
      readonly own = 1;
      toJSON(): object {
        return { inherited: true };
      }
    })(),
    Object.create({ inherited: 'no' }) as object,
    [1n, 'x'],
    new Map([['a', 1]]),
    new Set([1]),
    'text',
    7,
    null,
  ];
  for (const payload of payloads) expect(textOf(payload)).toBe(`{"payload":${jsonText(payload)}}`);
});

test('any JSON value comes back as it was', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (payload) => {
      const written: unknown = JSON.parse(textOf(payload, { priority: 'high' }));
      expect(written).toEqual({ payload: JSON.parse(JSON.stringify(payload)) as unknown, priority: 'high' });
    }),
  );
});

test('options stand beside the payload, and those that say nothing are left out', () => {
  expect(textOf(1, { delay: '5s', headers: { a: 'b' } })).toBe(
    '{"payload":1,"delay":"5s","headers":{"a":"b"}}',
  );
  expect(textOf(1, { delay: undefined })).toBe('{"payload":1}');
});

test('a time may be a date, beside bytes too', () => {
  const runAt = new Date('2026-01-31T12:00:00Z');
  expect(textOf(1, { runAt })).toBe('{"payload":1,"runAt":"2026-01-31T12:00:00.000Z"}');
  expect(bytesHeaders(new Uint8Array(1), { runAt })).toMatchObject({
    'Trivet-Run-At': '2026-01-31T12:00:00.000Z',
  });
});

test('the options of bytes are headers, with the key as the message id', () => {
  const options = {
    delay: 250,
    maxAttempts: 3,
    key: 'k',
    onDuplicate: 'replace',
    headers: { tenant: 'a' },
  } as const;
  expect(bytesHeaders(new Uint8Array(1), options)).toEqual({
    'Content-Type': 'application/octet-stream',
    'Trivet-Delay': '250',
    'Trivet-Max-Attempts': '3',
    'Trivet-On-Duplicate': 'replace',
    'Nats-Msg-Id': 'k',
    tenant: 'a',
  });
});

test('what beside bytes no header can say is refused by its name, and not changed or left out', () => {
  const refused = (options: object) => () => bytesHeaders(new Uint8Array(1), options);
  expect(refused({ key: 'two\nlines' })).toThrow('key must have no line break');
  expect(refused({ key: ' blank ' })).toThrow('no blank around it');
  expect(refused({ maxAttemps: 3 })).toThrow('maxAttemps is not a known field');
  expect(refused({ key: '' })).toThrow('key must not be empty');
  expect(refused({ key: 'cut \ud83d' })).toThrow('key must be well-formed Unicode');
  expect(refused({ headers: { 'a name': 'x' } })).toThrow('headers.a name');
  expect(refused({ headers: { number: 5 } })).toThrow('headers.number must be text');
  expect(refused({ headers: { 'nats-msg-id': 'another key' } })).toThrow(
    'is a name that is not yours to use',
  );
  expect(refused({ headers: { 'Trivet-Priority': 'low' } })).toThrow('is a name that is not yours to use');
  expect(bytesHeaders(new Uint8Array(1), { runAt: new Date(0) })).toMatchObject({
    'Trivet-Run-At': '1970-01-01T00:00:00.000Z',
  });
});

test('a payload whose toJSON gives nothing is refused as a payload', () => {
  expect(() => textOf({ toJSON: () => undefined })).toThrow('payload must be a JSON value');
});

test('bytes in another shape than the one that is sent as bytes are refused', () => {
  for (const payload of [new ArrayBuffer(1), new Uint16Array(1), new DataView(new ArrayBuffer(1))])
    expect(() => textOf(payload)).toThrow('payload must be a Uint8Array');
});

test('options that are none are refused, and spoil no message', () => {
  const cycle: { self?: object } = {};
  cycle.self = cycle;
  for (const options of [
    'high',
    5,
    [1, 2],
    { toJSON: () => 'high' },
    { a: 1, toJSON: () => undefined },
    cycle,
  ])
    expect(() => textOf(1, options as object)).toThrow('options');
  expect(() => textOf(1, { payload: 2 })).toThrow('payload is not a known field');
});
