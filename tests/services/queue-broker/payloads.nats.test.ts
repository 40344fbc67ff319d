import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { payloadBytesMax } from '#shared/protocol/limits.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type HeaderValues, type RunningQueue, leased, listed, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

const enqueue = (name: string, body: Uint8Array | string, values: HeaderValues = {}) =>
  queue.send(`trivet.queue.${name}.enqueue`, body, values);

const binary = { 'Content-Type': 'application/octet-stream' };
const json = { 'Content-Type': 'application/json' };
const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** What a worker is given: the bytes, however the reply carries them. */
async function handedOut(name: string): Promise<Uint8Array> {
  const [item] = leased(await queue.ask(name, 'dequeue', { wait: '5s' }));
  return item?.payloadBase64 === undefined
    ? Buffer.from(JSON.stringify(item?.payload))
    : Buffer.from(item.payloadBase64, 'base64');
}

/** Bytes of all kinds: none, each of the 256, text that is no UTF-8, zeros, random ones. */
const bytes: Readonly<Record<string, Uint8Array>> = {
  none: new Uint8Array(),
  each: Uint8Array.from({ length: 256 }, (_, index) => index),
  'no UTF-8': Buffer.from([0xff, 0xfe, 0xc3, 0x28]),
  zeros: new Uint8Array(3_000),
  random: randomBytes(100_000),
};

test.each(Object.entries(bytes))('bytes of any kind come out as they went in: %s', async (kind, payload) => {
  const name = `bytes-${kind.replaceAll(' ', '-')}`;
  expect((await enqueue(name, payload, binary)).status).toBe(0);
  await queue.publish(name, payload);
  for (const _ of ['enqueued', 'published']) expect(sum(await handedOut(name))).toBe(sum(payload));
  const packed = await queue.askPacked(name, 'list');
  for (const { payload: shown } of listed(packed)) expect(sum(shown as Uint8Array)).toBe(sum(payload));
});

test('a payload of exactly the limit is taken in every way, one byte more in none', async () => {
  const largest = randomBytes(payloadBytesMax);
  const larger = randomBytes(payloadBytesMax + 1);
  const tooLarge = { status: 413, body: { error: { code: 'payload_too_large' } } };
  expect((await enqueue('limit', largest, binary)).status).toBe(0);
  expect(await enqueue('limit', larger, binary)).toMatchObject(tooLarge);
  const text = 'x'.repeat(payloadBytesMax - 2);
  expect((await queue.ask('limit', 'enqueue', text)).status).toBe(0);
  expect(await queue.ask('limit', 'enqueue', `${text}x`)).toMatchObject(tooLarge);
  const many = await queue.askPacked('limit', 'enqueue-many', {
    items: [{ payload: larger }, { payload: largest }],
  });
  expect(many.body).toMatchObject({
    items: [{ error: { code: 'payload_too_large' } }, { state: 'pending' }],
  });
  await queue.publish('limit', largest);
  await queue.publish('limit', larger);
  await expect
    .poll(async () => (await queue.ask('limit', 'stats')).body)
    .toMatchObject({ counts: { pending: 4, failed: 1 } });
  const [failed] = listed(await queue.ask('limit', 'list', { state: 'failed' }));
  expect(failed?.attempts[0]?.error).toMatchObject({ type: 'payload_too_large' });
  await broker.kill();
  broker = await queue.startBroker();
  const sums = [sum(largest), sum(Buffer.from(JSON.stringify(text))), sum(largest), sum(largest)];
  for (const expected of sums) expect(sum(await handedOut('limit'))).toBe(expected);
});

test('bytes that are called JSON and are none are refused; a publish of them is kept as they are', async () => {
  const broken: readonly Uint8Array[] = [Buffer.from([0x22, 0xff, 0x22]), Buffer.from('{'), new Uint8Array()];
  for (const payload of broken)
    expect(await enqueue('broken', payload, json)).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', details: { field: 'body' } } },
    });
  for (const payload of broken) await queue.publish('broken', payload, json);
  for (const payload of broken) expect(sum(await handedOut('broken'))).toBe(sum(payload));
});

test('a byte order mark is no JSON: it is refused, or kept as bytes, and stops nobody', async () => {
  const marked = Buffer.from('\ufeff{"to":"x"}');
  expect(await enqueue('marked', marked, json)).toMatchObject({ status: 400 });
  expect((await enqueue('marked', '{"n":1}', json)).status).toBe(0);
  await queue.publish('marked', marked);
  expect((await enqueue('marked', '{"n":2}', json)).status).toBe(0);
  const counts = async () => (await queue.ask('marked', 'stats')).body;
  await expect.poll(counts).toMatchObject({ counts: { pending: 3 } });
  const items = leased(await queue.ask('marked', 'dequeue', { max: 10 }));
  expect(items.map(({ payload, payloadBase64 }) => payload ?? payloadBase64)).toEqual(
    expect.arrayContaining([{ n: 1 }, { n: 2 }, marked.toString('base64')]),
  );
});

test('the limit is as configured: the largest one survives a restart, one byte more is refused', async () => {
  const limit = 4 * 1_048_576;
  const large = await startQueue({ env: { TRIVET_PAYLOAD_BYTES_MAX: String(limit) } });
  try {
    const first = await large.startBroker();
    const [largest, larger] = [randomBytes(limit), randomBytes(limit + 1)];
    const tooLarge = { status: 413, body: { error: { code: 'payload_too_large' } } };
    expect((await large.send('trivet.queue.large.enqueue', largest, binary)).status).toBe(0);
    expect(await large.send('trivet.queue.large.enqueue', larger, binary)).toMatchObject(tooLarge);
    await large.publish('large', larger);
    const counts = async () => (await large.ask('large', 'stats')).body;
    await expect.poll(counts).toMatchObject({ counts: { pending: 1, failed: 1 } });
    await first.kill();
    await large.startBroker();
    const [item] = leased(await large.ask('large', 'dequeue', {}));
    expect(sum(Buffer.from(item?.payloadBase64 ?? '', 'base64'))).toBe(sum(largest));
  } finally {
    await large.stop();
  }
});

test.each(['1023', '4194305', 'much'])('a broker refuses %s as the limit of payloads', async (limit) => {
  const wrong = await startQueue({ env: { TRIVET_PAYLOAD_BYTES_MAX: limit } });
  try {
    await expect(wrong.startBroker()).rejects.toThrow('TRIVET_PAYLOAD_BYTES_MAX');
  } finally {
    await wrong.stop();
  }
});
