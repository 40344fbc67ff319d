import { setTimeout as delay } from 'node:timers/promises';
import { headers } from '@nats-io/transport-node';
import { pack } from 'msgpackr';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCache, startCache } from './running-cache.ts';

let cache: RunningCache;

beforeAll(async () => {
  cache = await startCache();
});

afterAll(() => cache?.stop());

const body = async (namespace: string, operation: string, request?: unknown) =>
  (await cache.ask(namespace, operation, request)).body;

test('each operation answers a plain client as the protocol says', async () => {
  const integer: unknown = expect.any(Number);
  expect(await body('ops', 'get', { key: 'a' })).toEqual({ hit: false });
  expect(await body('ops', 'set', { key: 'a', value: { n: [1, 'ü', null] } })).toEqual({ version: integer });
  expect(await body('ops', 'get', { key: 'a' })).toEqual({
    hit: true,
    value: { n: [1, 'ü', null] },
    version: integer,
  });
  expect(await body('ops', 'exists', { key: 'a' })).toEqual({ exists: true });
  expect(await body('ops', 'touch', { key: 'a', ttl: '1h' })).toEqual({ touched: true });
  expect(await body('ops', 'get', { key: 'a' })).toMatchObject({ ttlMs: integer });
  expect(await body('ops', 'increment', { key: 'n', by: 5, initial: 10 })).toEqual({
    value: 15,
    version: integer,
  });
  expect(
    await body('ops', 'set-many', {
      items: [
        { key: 'b', value: 1 },
        { key: 'c', value: false },
      ],
    }),
  ).toEqual({ items: [{ version: integer }, { version: integer }] });
  expect(await body('ops', 'get-many', { keys: ['c', 'none', 'b'] })).toMatchObject({
    items: [{ hit: true, value: false }, { hit: false }, { hit: true, value: 1 }],
  });
  expect(await body('ops', 'delete-many', { keys: ['b', 'none'] })).toEqual({
    items: [{ deleted: true }, { deleted: false }],
  });
  expect(await body('ops', 'keys')).toEqual({ keys: ['a', 'n', 'c'] });
  expect(await body('ops', 'delete', { key: 'c' })).toEqual({ deleted: true });
  expect(await body('ops', 'stats')).toMatchObject({
    namespace: 'ops',
    backend: 'memory',
    entries: 2,
    sets: 4,
  });
  expect(await body('ops', 'configure', { entriesMax: 100, defaultTtl: '1m' })).toMatchObject({
    entriesMax: 100,
  });
  expect(await body('ops', 'clear')).toEqual({ cleared: 2 });
  expect(await body('ops', 'keys')).toEqual({ keys: [] });
});

test('an empty body stands for a request without fields', async () => {
  expect((await cache.send('trivet.cache.empty.stats', '')).body).toMatchObject({ namespace: 'empty' });
  expect((await cache.send('trivet.cache.stats', '')).body).toMatchObject({
    entries: expect.any(Number) as number,
    hitRate: expect.any(Number) as number,
    namespaces: expect.any(Array) as unknown[],
  });
});

test('an entry is gone when its ttl is over', async () => {
  await body('ttl', 'set', { key: 'a', value: 1, ttl: '80ms' });
  expect(await body('ttl', 'get', { key: 'a' })).toMatchObject({ hit: true });
  await delay(100);
  expect(await body('ttl', 'get', { key: 'a' })).toEqual({ hit: false });
});

test('what has expired leaves by itself, without being asked for', async () => {
  await body('sweep', 'set-many', {
    items: Array.from({ length: 500 }, (_, n) => ({ key: `k${n}`, value: n, ttl: 50 })),
  });
  await expect
    .poll(() => body('sweep', 'stats'), { timeout: 5_000 })
    .toMatchObject({ entries: 0, bytes: 0, expirations: 500 });
});

test('a thousand concurrent increments count to a thousand', async () => {
  const replies = await Promise.all(
    Array.from({ length: 1_000 }, () => body('atomic', 'increment', { key: 'n' })),
  );
  const values = replies.map((reply) => (reply as { value: number }).value);
  expect(values.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, n) => n + 1));
});

test('of many that set over the same version one wins', async () => {
  const { version } = (await body('cas', 'set', { key: 'a', value: 0 })) as { version: number };
  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      cache.ask('cas', 'set', { key: 'a', value: n, ifVersion: version }),
    ),
  );
  expect(replies.filter((reply) => reply.status === 0)).toHaveLength(1);
  expect(replies.filter((reply) => reply.status === 409)).toHaveLength(99);
  expect(replies.find((reply) => reply.status === 409)?.body).toMatchObject({
    error: { code: 'conflict', details: { version: expect.any(Number) as number } },
  });
});

test('a value that was set in JSON is the same value in MessagePack', async () => {
  const value = { text: 'ü', list: [1, -2.5, 1e300, 2 ** 52], nested: { yes: true, nothing: null } };
  await body('both', 'set', { key: 'a', value });
  const packed = await cache.askPacked('both', 'get', { key: 'a' });
  expect(packed).toMatchObject({ contentType: 'application/msgpack', body: { hit: true, value } });
  expect((await cache.askPacked('both', 'get-many', { keys: ['a', 'none'] })).body).toMatchObject({
    items: [{ hit: true, value }, { hit: false }],
  });
});

test('bytes, dates and big integers come back to MessagePack as they were, and to JSON as text', async () => {
  const value = {
    bytes: new Uint8Array([0, 255, 7]),
    at: new Date('2026-01-31T12:00:00.000Z'),
    big: 2n ** 60n,
    plain: 'text',
  };
  await cache.askPacked('types', 'set', { key: 'a', value });
  const packed = (await cache.askPacked('types', 'get', { key: 'a' })).body as { value: typeof value };
  expect({ ...packed.value, bytes: [...packed.value.bytes] }).toEqual({ ...value, bytes: [0, 255, 7] });
  expect(await body('types', 'get', { key: 'a' })).toMatchObject({
    value: { bytes: 'AP8H', at: '2026-01-31T12:00:00.000Z', big: '1152921504606846976', plain: 'text' },
  });
});

test('a number that JavaScript cannot count exactly comes back as it was', async () => {
  const value = '{"id":12345678901234567890,"tiny":1e-400,"price":1.10}';
  await cache.send('trivet.cache.exact.set', `{"value": ${value} ,"key":"a"}`);
  await cache.send('trivet.cache.exact.set-many', `{"items":[{"key":"b","value":${value}}]}`);
  for (const key of ['a', 'b']) {
    const reply = await cache.client.request('trivet.cache.exact.get', JSON.stringify({ key }));
    expect(reply.string()).toContain(`"value":${value},`);
  }
});

test('an extension type that we do not know comes back as it was', async () => {
  const value = Buffer.from([0xc7, 3, 42, 1, 2, 3]);
  const packed = { 'Content-Type': 'application/msgpack' };
  const request = Buffer.concat([pack({ key: 'a', value: 0 }).subarray(0, -1), value]);
  expect(await cache.send('trivet.cache.extension.set', request, packed)).toMatchObject({ status: 0 });
  const made = headers();
  made.set('Content-Type', 'application/msgpack');
  const options = { headers: made, timeout: 5_000 };
  const reply = await cache.client.request('trivet.cache.extension.get', pack({ key: 'a' }), options);
  expect(Buffer.from(reply.data).includes(value)).toBe(true);
});

test('a counter is the same number in both encodings', async () => {
  await cache.askPacked('counter', 'set', { key: 'n', value: 41 });
  expect(await body('counter', 'increment', { key: 'n' })).toMatchObject({ value: 42 });
  expect((await cache.askPacked('counter', 'get', { key: 'n' })).body).toMatchObject({ value: 42 });
});

test('Accept chooses the encoding of the reply', async () => {
  await body('accept', 'set', { key: 'a', value: [1] });
  const reply = await cache.send('trivet.cache.accept.get', '{"key":"a"}', { Accept: 'application/msgpack' });
  expect(reply).toMatchObject({ contentType: 'application/msgpack', body: { hit: true, value: [1] } });
});

test('a value of the largest size fits, a byte more does not', async () => {
  const largest = 'x'.repeat(1_048_576 - 2);
  expect((await cache.ask('size', 'set', { key: 'a', value: largest })).status).toBe(0);
  expect(await body('size', 'get', { key: 'a' })).toMatchObject({ value: largest });
  expect(await cache.ask('size', 'set', { key: 'a', value: `${largest}x` })).toMatchObject({
    status: 413,
    body: { error: { code: 'payload_too_large', details: { field: 'value' } } },
  });
});

test('items that do not fit into a reply say so, and the smaller ones beside them come', async () => {
  const value = 'x'.repeat(1_000_000);
  for (let n = 0; n < 10; n += 1) await body('fit', 'set', { key: `k${n}`, value });
  await body('fit', 'set', { key: 'small', value: 1 });
  const keys = [...Array.from({ length: 10 }, (_, n) => `k${n}`), 'small'];
  const { items } = (await body('fit', 'get-many', { keys })) as {
    items: { hit?: boolean; error?: { code: string } }[];
  };
  expect(items).toHaveLength(11);
  expect(items.filter((item) => item.hit).length).toBeGreaterThanOrEqual(7);
  expect(items[9]).toMatchObject({ error: { code: 'payload_too_large' } });
  expect(items[10]).toMatchObject({ hit: true, value: 1 });
});

test('a namespace keeps to its quota of bytes', async () => {
  await body('quota', 'configure', { bytesMax: 100_000 });
  for (let batch = 0; batch < 5; batch += 1) {
    const items = Array.from({ length: 100 }, (_, n) => ({
      key: `k${batch}-${n}`,
      value: 'x'.repeat(1_000),
    }));
    await body('quota', 'set-many', { items });
    const stats = (await body('quota', 'stats')) as { bytes: number; evictions: number };
    expect(stats.bytes).toBeLessThanOrEqual(100_000);
  }
  expect(await body('quota', 'get', { key: 'k4-99' })).toMatchObject({ hit: true });
  expect(await body('quota', 'get', { key: 'k0-0' })).toEqual({ hit: false });
});

test('every key comes once over pages of keys', async () => {
  const keys = Array.from({ length: 2_500 }, (_, n) => `page:${n}`);
  for (let from = 0; from < keys.length; from += 1_000) {
    const items = keys.slice(from, from + 1_000).map((key) => ({ key, value: 1 }));
    await body('pages', 'set-many', { items });
  }
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = (await body('pages', 'keys', { prefix: 'page:', limit: 700, cursor })) as {
      keys: string[];
      cursor?: string;
    };
    seen.push(...page.keys);
    ({ cursor } = page);
  } while (cursor !== undefined);
  expect(seen.toSorted()).toEqual(keys.toSorted());
});

test('the service protocol names the node and counts its requests', async () => {
  const ping = (await cache.client.request('$SRV.PING.trivet-cache', '')).json();
  expect(ping).toMatchObject({ name: 'trivet-cache', type: 'io.nats.micro.v1.ping_response' });
  const stats = (await cache.client.request('$SRV.STATS.trivet-cache', '')).json<{
    endpoints: { name: string; num_requests: number }[];
  }>();
  expect(stats.endpoints.find((one) => one.name === 'requests')?.num_requests).toBeGreaterThan(0);
});

test('a reply goes to an inbox and nowhere else', async () => {
  const overheard: string[] = [];
  cache.client.subscribe('trivet.events.>', {
    callback: (_error, message) => {
      overheard.push(message.string());
    },
  });
  cache.client.publish('trivet.cache.inbox.set', '{"key":"a","value":1}', { reply: 'trivet.events.stolen' });
  // The request itself is done, in its order; only its answer has nowhere to go.
  expect(await body('inbox', 'get', { key: 'a' })).toMatchObject({ hit: true });
  await cache.client.flush();
  expect(overheard).toEqual([]);
});

test('a delete that names a version deletes that one and no other', async () => {
  const { version } = (await cache.ask('versions', 'set', { key: 'a', value: 1 })).body as {
    version: number;
  };
  const newer = (await cache.ask('versions', 'set', { key: 'a', value: 2 })).body as { version: number };
  expect(await cache.ask('versions', 'delete', { key: 'a', ifVersion: version })).toMatchObject({
    status: 409,
    body: { error: { code: 'conflict', details: { version: newer.version } } },
  });
  expect((await cache.ask('versions', 'get', { key: 'a' })).body).toMatchObject({ hit: true, value: 2 });
  const ifVersion = newer.version;
  expect((await cache.ask('versions', 'delete', { key: 'a', ifVersion })).body).toEqual({ deleted: true });
  expect((await cache.ask('versions', 'delete', { key: 'a', ifVersion })).body).toEqual({ deleted: false });
});
