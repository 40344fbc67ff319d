import { expect, test } from 'vitest';
import { jsonValue, keptValue, shownValue } from '#services/queue-broker/kept-value.ts';
import { decode, encode, json, jsonText, msgpack } from '#shared/protocol/encoding.ts';
import { MadePartition } from './made-partition.ts';

// What `text.slice(0, n)` leaves of an emoji.
const cut = 'cut \ud83d';

test.each([{ text: cut }, [cut], cut, { [cut]: 1 }, cut.repeat(100), { deep: [{ text: cut, big: 1 }] }])(
  'a value with half of a surrogate pair is shown in JSON as it came, and in MessagePack so that it can be read: %j',
  (value) => {
    const kept = keptValue(value);
    expect(jsonText(shownValue(kept, json))).toBe(JSON.stringify(value));
    const packed = decode(encode({ result: shownValue(kept, msgpack) }, msgpack), msgpack);
    expect(packed).toEqual({
      ok: true,
      value: { result: JSON.parse(JSON.stringify(value).replaceAll('\\ud83d', '\ufffd')) },
    });
  },
);

test('a payload with half of a surrogate pair can be read in MessagePack', () => {
  const text = new TextEncoder().encode(JSON.stringify({ [cut]: [cut, 1, null] }));
  expect(decode(encode(jsonValue(text, msgpack), msgpack), msgpack)).toEqual({
    ok: true,
    value: { 'cut \ufffd': ['cut \ufffd', 1, null] },
  });
});

test('results, errors and lines that were cut within an emoji are what they were, after a restart as well', async () => {
  const made = await MadePartition.make();
  await made.enqueue([{ payload: 1 }, { payload: 2 }]);
  const [one, two] = await made.dequeue({ max: 2, lease: '1h', worker: cut });
  await made.answer('log', { ...one, lines: [cut] });
  await made.answer('complete', { ...one, result: { text: cut } });
  await made.answer('fail', { ...two, error: { message: cut, type: cut, stack: cut }, retry: false });
  const error = { message: 'cut \ufffd', type: 'cut \ufffd', stack: 'cut \ufffd' };
  const check = async () => {
    expect(await made.answer('get', { id: one?.id })).toMatchObject({ value: { result: { text: cut } } });
    expect(await made.answer('get', { id: two?.id })).toMatchObject({
      value: { attempts: [{ error, worker: 'cut \ufffd' }] },
    });
    expect(await made.answer('logs', { id: one?.id })).toMatchObject({
      value: { lines: [{ line: 'cut \ufffd' }] },
    });
  };
  await check();
  await made.clock.until(made.partition.abandon());
  await made.take();
  await check();
});
