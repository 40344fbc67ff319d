import { expect, test } from 'vitest';
import { decode, encode, json, msgpack } from '#shared/protocol/encoding.ts';
import type { Burial } from '#services/telemetry-collector/collector-service.ts';
import { chunksOf, itemsIn } from '#services/telemetry-collector/core/otlp-chunks.ts';
import { gathered, lettersOfTheirOwnMax } from '#services/telemetry-collector/gathered-burials.ts';

const burial = (
  index: number | undefined,
  more: Partial<Burial> = {},
  contentType: string = json,
): Burial => ({
  letter: {
    reason: 'invalid_record',
    message: `problem ${index}`,
    index,
    contentType,
    body: contentType === json || contentType === msgpack ? encode({ index }, contentType) : Buffer.alloc(0),
  },
  sequence: 7,
  subject: 'trivet.telemetry.log',
  receivedMs: 1,
  ...more,
});
const many = (count: number, contentType: string = json): readonly Burial[] =>
  Array.from({ length: count }, (_, index) => burial(index, {}, contentType));

test('as many as a message commonly has are letters of their own', () => {
  const letters = gathered(many(lettersOfTheirOwnMax));
  expect(letters).toHaveLength(lettersOfTheirOwnMax);
  expect(letters.every(({ records }) => records === 1)).toBe(true);
});

test.each([json, msgpack])(
  'what is behind them shares a letter in %s, and nothing of it is missing',
  (type) => {
    const letters = gathered(many(10_000, type));
    expect(letters).toHaveLength(lettersOfTheirOwnMax + 1);
    const last = letters.at(-1);
    expect(last).toMatchObject({
      records: 9_900,
      letter: { index: 100, message: '9900 records; of the first: problem 100' },
    });
    const decoded = decode(last?.letter.body ?? Buffer.alloc(0), type);
    expect(decoded.ok && decoded.value).toEqual(
      Array.from({ length: 9_900 }, (_, at) => ({ index: at + 100 })),
    );
  },
);

test('requests of one item become the request of all of them', () => {
  // resource_logs(1) → scope_logs(2) → log_records(2), which is empty.
  const body = Buffer.from([0x0a, 4, 0x12, 2, 0x12, 0]);
  const all = many(150, 'application/x-protobuf').map((one) => ({ ...one, letter: { ...one.letter, body } }));
  const last = gathered(all).at(-1);
  expect(last?.records).toBe(50);
  expect(itemsIn(chunksOf(last?.letter.body ?? Buffer.alloc(0)))).toBe(50);
});

test('records of other messages, for other reasons or refused by somebody else do not share one', () => {
  const refused = many(101).map((one) => ({ ...one, destination: 'main' }));
  const others = many(101).map((one) => ({ ...one, sequence: 8 }));
  const whole = Array.from({ length: 300 }, () => burial(undefined));
  const letters = gathered([...refused, ...others, ...whole]);
  expect(letters).toHaveLength(502);
  expect(letters.every(({ records }) => records === 1)).toBe(true);
});
