import fc from 'fast-check';
import { expect, test } from 'vitest';
import { attributeValue, depthMax } from '#services/telemetry-collector/core/attribute-values.ts';
import type { LogEntry, MessageContext } from '#services/telemetry-collector/core/interpret.ts';
import { nothingKnown, readMessage } from '#services/telemetry-collector/core/read-message.ts';
import { Rules } from '#services/telemetry-collector/core/rules.ts';
import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import { encode, json } from '#shared/protocol/encoding.ts';

const from = (level: TelemetryLevel) => ({ rules: new Rules({}, level) });
const context: MessageContext = { sequence: 7, receivedMs: 1_000, origin: undefined, ...from('debug') };
const origin = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 };

const read = (kind: string, value: unknown, more: Partial<MessageContext> = {}) =>
  readMessage({ kind, contentType: undefined, body: encode(value, json) }, { ...context, ...more });

test('whatever bytes come, they are read without an exception and none is lost', () => {
  fc.assert(
    fc.property(fc.constantFrom('metric', 'log', 'event'), fc.uint8Array(), (kind, body) => {
      const { kept, dead, filtered } = readMessage({ kind, contentType: undefined, body }, context);
      expect(kept.length + dead.length + filtered).toBeGreaterThan(
        Buffer.from(body).toString('latin1').trim() === '[]' ? -1 : 0,
      );
    }),
  );
});

test('every record of a message is kept, filtered or dead, and only one of them', () => {
  const record = fc.oneof(
    fc.record({ message: fc.string({ minLength: 1 }), level: fc.constantFrom('debug', 'error') }),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(fc.array(record), (records) => {
      const { kept, dead, filtered } = read('log', records, from('warning'));
      expect(kept.length + dead.length + filtered).toBe(records.length);
    }),
  );
});

test('a record is a dead letter with its own bytes', () => {
  const { dead, lettersOf } = read('log', [{ message: 'good' }, { message: 1 }]);
  expect(dead.map((letter) => [letter.index, Buffer.from(letter.body).toString()])).toEqual([
    [1, '{"message":1}'],
  ]);
  const [later] = lettersOf([0], 'refused_by_destination', 'status 400');
  expect(Buffer.from(later?.body ?? []).toString()).toBe('{"message":"good"}');
});

test('no digit of an attribute is lost, in whatever way the record is read', () => {
  const text =
    '{"message":"paid","attributes":{"order":9007199254740993,"price":1.10,"in":[12345678901234567890]}}';
  const attributes = { order: '9007199254740993', price: 1.1, in: ['12345678901234567890'] };
  const known = nothingKnown();
  for (const body of [text, `[${text},${text}]`, text]) {
    const message = { kind: 'log', contentType: undefined, body: Buffer.from(body) };
    const { kept, lettersOf } = readMessage(message, context, known);
    expect(kept.map(({ entry }) => (entry as LogEntry).attributes)).toEqual(kept.map(() => attributes));
    const [letter] = lettersOf([0], 'refused_by_destination', 'status 400');
    expect(Buffer.from(letter?.body ?? []).toString()).toBe(text);
  }
  const later = '{"message":"later","timestamp":1e12,"attributes":{}}';
  const { kept } = readMessage({ kind: 'log', contentType: undefined, body: Buffer.from(later) }, context);
  expect(kept[0]?.entry).toMatchObject({ atMs: 1_000_000_000_000 });
});

test('a record without a time has the time at which the stream took it', () => {
  expect(read('log', { message: 'a' }).kept[0]?.entry).toMatchObject({ atMs: 1_000, level: 'info' });
  expect(read('log', { message: 'a', timestamp: '1970-01-01T00:00:05Z' }).kept[0]?.entry).toMatchObject({
    atMs: 5_000,
  });
});

test('a level below the least that is kept is filtered, and errors are errors by default', () => {
  expect(read('event', { name: 'e' }, from('warning')).filtered).toBe(1);
  expect(read('error', { message: 'e' }, from('error')).kept).toHaveLength(1);
  expect(read('log', { message: 'l', level: 'critical' }, from('critical')).kept).toHaveLength(1);
});

test('a performance record is a duration, a count and, in a trace, a span with an id of its own', () => {
  const record = {
    operation: 'checkout',
    durationMs: 250,
    success: true,
    tags: { region: 'eu' },
    timestamp: 5_000,
  };
  const [alone] = read('performance', record).kept;
  expect(alone?.updates.map((one) => [one.name, one.type, one.value])).toEqual([
    ['trivet.operation.duration', 'histogram', 250],
    ['trivet.operation.count', 'counter', 1],
  ]);
  expect(alone?.entry).toBeUndefined();
  const [first, second] = read('performance', [record, record], { origin }).kept;
  expect(first?.entry).toMatchObject({ startMs: 4_750, parent: origin });
  expect(first?.entry).not.toEqual(second?.entry);
  // When it comes again it has the same id.
  expect(read('performance', [record, record], { origin }).kept[0]?.entry).toEqual(first?.entry);
});

test('no attribute value becomes nothing, and all of them can be written as JSON', () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withDate: true, withTypedArray: true }), (given) => {
      const value = attributeValue(given);
      expect(value).toBeDefined();
      expect(value).not.toBeNull();
      expect(Number.isNaN(value)).toBe(false);
    }),
  );
});

test('a value deeper than backends can search becomes JSON text', () => {
  let deep: unknown = 'end';
  for (let level = 0; level < depthMax + 3; level += 1) deep = { in: deep };
  expect(JSON.stringify(attributeValue(deep))).toContain('\\"in\\"');
});

test('text with an unpaired surrogate is made well formed', () => {
  expect(attributeValue('a\ud800b')).toBe('a\ufffdb');
});

test('an attribute may be called __proto__', () => {
  const body = Buffer.from('{"name":"e","attributes":{"__proto__":{"polluted":true}}}');
  const [kept] = readMessage({ kind: 'event', contentType: undefined, body }, context).kept;
  const attributes = kept?.entry !== undefined && 'kind' in kept.entry ? kept.entry.attributes : {};
  expect(Object.keys(attributes)).toEqual(['__proto__']);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

test('a message that is nested too deeply is one dead letter with its own bytes', () => {
  const body = new TextEncoder().encode('['.repeat(5_000) + ']'.repeat(5_000));
  const { dead, kept } = readMessage({ kind: 'event', contentType: undefined, body }, context);
  expect(kept).toEqual([]);
  expect(dead).toMatchObject([{ reason: 'undecodable', body }]);
});
