import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { timeMs } from '#shared/protocol/times.ts';
import { Rules } from '#services/telemetry-collector/core/rules.ts';
import { KnownRecords } from '#services/telemetry-collector/core/known-records.ts';
import { type Known, readMessage } from '#services/telemetry-collector/core/read-message.ts';
import { RecordScanner } from '#services/telemetry-collector/core/record-scan.ts';
import { defaultLimits } from '#services/telemetry-collector/core/series.ts';
import { Totals } from '#services/telemetry-collector/totals.ts';

// The quick way is right when nobody can tell that it was taken: every message is read both ways, and everything
// that is counted, kept, refused and filtered must be the same.

type Kind = 'metric' | 'performance';
const bytes = (text: string) => new TextEncoder().encode(text);

/** A collector's counting without the rest of it. */
function counting(isQuick: boolean) {
  const totals = new Totals({ ...defaultLimits, perSourceMax: 12 });
  let sequence = 0;
  let known = 0;
  return {
    take(kind: Kind, body: Uint8Array) {
      sequence += 1;
      const context = {
        sequence,
        receivedMs: 1_000,
        origin: undefined,
        rules: new Rules({}, 'debug'),
      } as const;
      const message = { kind, contentType: undefined, body };
      const read = readMessage(message, context, isQuick ? totals.known : undefined);
      known += read.known.length;
      const applied = totals.apply({
        sequence,
        read,
        mustBeSent: true,
        mayLearn: true,
        wanted: () => new Map(),
      });
      return {
        counted: [...applied.counted],
        letters: applied.letters.map((one) => ({ ...one, body: [...one.body] })),
      };
    },
    state() {
      const { series, figures } = totals.takeChange(5_000);
      return { series, figures };
    },
    known: () => known,
  };
}

function expectTheSame(messages: readonly (readonly [Kind, Uint8Array])[]): number {
  const quick = counting(true);
  const slow = counting(false);
  for (const [kind, body] of messages) expect(quick.take(kind, body)).toEqual(slow.take(kind, body));
  expect(quick.state()).toEqual(slow.state());
  return quick.known();
}

const number = fc.oneof(
  { weight: 4, arbitrary: fc.nat(1_000).map(String) },
  fc.double({ noDefaultInfinity: true, noNaN: true }).map(String),
  fc.integer().map(String),
  fc.constantFrom(
    '-0',
    '0.1',
    '1e3',
    '1E-7',
    '123456789012345678',
    '0.30000000000000004',
    '12.5000',
    '1e999',
  ),
  fc.constantFrom('01', '1.', '.5', '+1', '-', 'NaN', '"1"', 'null', 'true', '1 2'),
);
const time = fc.oneof(
  fc.nat(4_102_444_800_000).map(String),
  fc
    .date({ min: new Date(0), max: new Date(9e12), noInvalidDate: true })
    .map((at) => `"${at.toISOString()}"`),
  fc.constantFrom(
    '"2026-01-31T12:00:00Z"',
    '"2026-02-29T12:00:00Z"',
    '"2024-02-29T12:00:00.5Z"',
    '"2026-02-30T12:00:00Z"',
    '"2026-04-31T12:00:00.000Z"',
    '"2026-01-01T24:00:00Z"',
    '"2026-01-01T10:00:60Z"',
    '"2026-01-01t10:00:00z"',
    '"2026-01-01T10:00:00+02:00"',
    '"2026-13-01T10:00:00Z"',
    '99999999999999',
    '-1',
    '1.5',
    '1e12',
    'null',
    '"yesterday"',
  ),
);
const space = fc.constantFrom('', '', '', ' ', '\n', '\t', '\u00a0');
const names = fc.constantFrom('"orders"', '"a.b"', '"\\u0061.b"', '"é"', '"\ud800"', '"q\\"},{"', '7');
const types = fc.constantFrom('"counter"', '"gauge"', '"histogram"', '"exponential_histogram"', '"sum"');
const tags = fc.constantFrom(
  '{}',
  '{"a":"1"}',
  '{"a":1}',
  '{"a":"1","b":"x}"}',
  '{"b":"x}","a":"1"}',
  '{"a":{"b":1}}',
  '{"value":3,"timestamp":4}',
  '{"a":"1","a":"2"}',
  '[]',
);

/** Members of a record in any order, some twice, some unknown, some in another spelling. */
const member = (kind: Kind) =>
  fc.oneof(
    { weight: 6, arbitrary: number.map((one) => `"${kind === 'metric' ? 'value' : 'durationMs'}":${one}`) },
    { weight: 3, arbitrary: time.map((one) => `"timestamp":${one}`) },
    { weight: 3, arbitrary: names.map((one) => `"${kind === 'metric' ? 'name' : 'operation'}":${one}`) },
    { weight: 2, arbitrary: types.map((one) => (kind === 'metric' ? `"type":${one}` : '"success":true')) },
    { weight: 2, arbitrary: tags.map((one) => `"tags":${one}`) },
    fc.constantFrom('"source":"s"', '"unit":"ms"', '"colour":1', '"val\\u0075e":9', '"timest\\u0061mp":1'),
  );
const anyRecord = (kind: Kind) =>
  fc
    .tuple(fc.array(member(kind), { maxLength: 7 }), space)
    .map(([members, gap]) => `{${members.join(`,${gap}`)}}`);
const goodRecord = (kind: Kind) =>
  fc.tuple(fc.constantFrom(0, 1, 2, 3), fc.nat(50), fc.option(fc.nat(2_000))).map(([id, value, at]) => {
    const when = at === null ? '' : `,"timestamp":${at}`;
    return kind === 'metric'
      ? `{"name":"n${id}","value":${value},"type":"${id < 2 ? 'counter' : 'gauge'}","tags":{"id":"${id}"}${when}}`
      : `{"operation":"o${id}","durationMs":${value}.25,"success":${id % 2 === 0}${when}}`;
  });
const message = fc.constantFrom<Kind>('metric', 'performance').chain((kind) =>
  fc
    .tuple(
      fc.array(fc.oneof({ weight: 3, arbitrary: goodRecord(kind) }, anyRecord(kind)), { maxLength: 6 }),
      fc.constantFrom('array', 'array', 'array', 'one', 'cut', 'tail', 'bare'),
      space,
    )
    .map(([records, shape, gap]): readonly [Kind, Uint8Array] => {
      const text = `${gap}[${gap}${records.join(`${gap},${gap}`)}${gap}]${gap}`;
      if (shape === 'one') return [kind, bytes(records[0] ?? '{}')];
      if (shape === 'cut') return [kind, bytes(text).slice(0, -1)];
      if (shape === 'tail') return [kind, bytes(`${text},`)];
      if (shape === 'bare') return [kind, bytes(records.join(','))];
      return [kind, bytes(text)];
    }),
);

test('messages of any shape come to the same, whether their records are known or decoded', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 12 }), (messages) => {
      expectTheSame(messages);
    }),
    { numRuns: 500 },
  );
});

test('a message that was damaged on its way comes to the same', () => {
  const text = `[${[1, 2, 3].map((id) => `{"name":"n","value":${id}.5,"type":"counter","tags":{"a":"é"},"timestamp":17}`).join(',')}]`;
  fc.assert(
    fc.property(fc.nat(text.length), fc.integer({ min: 0, max: 255 }), (place, byte) => {
      const damaged = bytes(text);
      damaged[place] = byte;
      expectTheSame([
        ['metric', bytes(text)],
        ['metric', damaged],
        ['metric', bytes(text)],
      ]);
    }),
    { numRuns: 500 },
  );
});

test('records that are said again with another number and time are not decoded again', () => {
  const say = (value: string, at: string): readonly [Kind, Uint8Array] => [
    'metric',
    bytes(`[{"name":"n","value":${value},"type":"counter","timestamp":${at},"tags":{"a":"b"}}]`),
  ];
  const known = expectTheSame([
    say('1', '1'),
    say('2.5', '1764168000123'),
    say('0.1', '"2026-11-26T14:40:00Z"'),
    say('3', '"2026-11-26T14:40:00.123Z"'),
  ]);
  expect(known).toBe(3);
});

test('a record that reads like a known one up to its number and then not is read for itself', () => {
  const say = (...records: readonly string[]): readonly [Kind, Uint8Array] => [
    'metric',
    bytes(`[${records.join(',')}]`),
  ];
  const plain = '{"name":"n","value":1,"tags":{"a":"b"},"timestamp":5}';
  const messages = [
    say(plain),
    // The same places, and so guessed: in turn another tag, a text that holds what follows a number, a name with
    // an end as that of the number, the two changed with each other, no time, a number that is none, and the end.
    say(plain, '{"name":"n","value":2,"tags":{"a":"c"},"timestamp":5}', plain),
    say('{"name":"n","value":2,"tags":{"a":"b\\"},\\"timestamp\\":5}"},"timestamp":6}', plain),
    say('{"name":"n","falue":2,"tags":{"a":"b"},"timestamp":5,"value":3}', plain),
    say(
      '{"timestamp":7,"tags":{"a":"b"},"value":8,"name":"n"}',
      '{"timestamp":9,"tags":{"a":"b"},"value":9,"name":"n"}',
    ),
    say('{"name":"n","value":2,"tags":{"a":"b"}}', '{"name":"n","value":4,"tags":{"a":"b"}}'),
    say('{"name":"n","value":01,"tags":{"a":"b"},"timestamp":5}', plain),
    say('{"name":"n","value":1.5e2,"tags":{"a":"b"},"timestamp":5}', plain),
    say(plain, '{"name":"n","value":1,"tags":{"a":"b"},"timestamp":5', plain),
    say(plain, '{"name":"n","value":1,"tags":{"a":"b"},"timestamp":12345'),
    say('{"name" : "n", "value" : 1}', '{"name" : "n", "value" : 2}', '{"name" : "n", "value" : 3}', plain),
  ];
  // Twice: what was decoded the first time is known the second time, and its places are expected.
  expect(expectTheSame([...messages, ...messages])).toBe(22);
});

test('a record whose places are expected is asked about before it is scanned', () => {
  const asked: (readonly [from: number, to: number])[] = [];
  const scanner = new RecordScanner('value', 10, (_view, index) => {
    asked.push([scanner.gapStarts[index * 2 + 1] ?? 0, scanner.gapEnds[index * 2 + 1] ?? 0]);
    return 7;
  });
  const say = (tag: string) => bytes(`[{"value":1,"tags":{"a":"${tag}"},"timestamp":123}]`);
  expect(scanner.scan(say('b'))).toBe(true);
  expect([asked, scanner.entries[0]]).toEqual([[], -1]);
  scanner.expect(0);
  expect(scanner.scan(say('c'))).toBe(true);
  expect([asked, scanner.entries[0]]).toEqual([[[41, 44]], 7]);
  // Longer by a letter: at these places there is no time.
  expect(scanner.scan(say('cc'))).toBe(true);
  expect([asked.length, scanner.entries[0]]).toEqual([1, -1]);
});

test('a record that differs in one byte is another one', () => {
  const say = (tag: string): readonly [Kind, Uint8Array] => [
    'metric',
    bytes(`{"name":"n","value":1,"type":"counter","tags":{"a":"${tag}"}}`),
  ];
  expect(expectTheSame([say('b'), say('c'), say('b')])).toBe(1);
});

test('a known counter refuses a negative number', () => {
  const say = (value: number): readonly [Kind, Uint8Array] => [
    'metric',
    bytes(`{"name":"n","value":${value},"type":"counter"}`),
  ];
  expectTheSame([say(1), say(-1), say(2)]);
});

test('numbers and times are read as JSON.parse and the protocol read them', () => {
  const scanner = new RecordScanner('value', 10, () => -1);
  fc.assert(
    fc.property(number, time, (value, at) => {
      const body = bytes(`{"value":${value},"timestamp":${at}}`);
      if (!scanner.scan(body) || Number.isNaN(scanner.times[0]) || Number.isNaN(scanner.values[0])) return;
      const parsed = JSON.parse(`[${value},${at}]`) as [number, string | number];
      expect(scanner.values[0]).toBe(parsed[0]);
      expect(scanner.times[0]).toBe(timeMs(parsed[1]));
    }),
    { numRuns: 1_500 },
  );
});

test('what is remembered stays within its limits, and is learned anew', () => {
  const known = new KnownRecords<number>('value', 10, { recordsMax: 3, bytesMax: 1_000 });
  const meet = (id: number): number | undefined => {
    const body = encode({ name: `n${id}`, value: 1 }, json);
    known.scanner.scan(body);
    const found = known.find(new DataView(body.buffer, body.byteOffset, body.byteLength), 0);
    const lesson = known.lesson(body, 0);
    if (found === undefined && lesson !== undefined) known.learn(lesson, id);
    return found;
  };
  for (let id = 0; id < 100; id += 1) {
    meet(id);
    expect(meet(id)).toBe(id);
    expect(known.size).toBeLessThanOrEqual(3);
  }
});

test('only kinds that are mere numbers are known, and log records by their shapes', () => {
  const totals: { readonly known: Known } = new Totals(defaultLimits);
  expect(Object.keys(totals.known).sort()).toEqual(['log', 'metric', 'performance']);
});
