import { pack } from 'msgpackr';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SetRequest, cacheRequests } from '#shared/protocol/cache-schemas.ts';
import { badRequests } from '#tests/support/bad-requests.ts';
import { type RunningCache, startCache } from './running-cache.ts';

let cache: RunningCache;

beforeAll(async () => {
  cache = await startCache();
});

afterAll(() => cache?.stop());

const valid: Readonly<Record<keyof typeof cacheRequests, object>> = {
  get: { key: 'a' },
  set: { key: 'a', value: 1, ttl: '1m', sliding: true },
  'get-many': { keys: ['a'] },
  'set-many': { items: [{ key: 'a', value: 1 }] },
  'delete-many': { keys: ['a'] },
  delete: { key: 'a' },
  exists: { key: 'a' },
  increment: { key: 'a' },
  touch: { key: 'a', ttl: 1 },
  clear: {},
  keys: {},
  stats: {},
  configure: { entriesMax: 10 },
  'invalidate-tags': { tags: ['t'] },
  load: { key: 'a' },
  'load-failed': { key: 'a', loadToken: 1, error: { message: 'no' } },
  missed: { epoch: 'e', after: 0 },
};

const refusal = (field: string) => ({
  status: 400,
  body: { error: { code: 'invalid_request', details: { field } } },
});

test.each(Object.keys(valid) as (keyof typeof valid)[])(
  'every bad %s is refused by the field that is wrong, in both encodings',
  async (operation) => {
    let refused = 0;
    for (const { why, field, body } of badRequests(cacheRequests[operation], valid[operation])) {
      const inJson = await cache.ask('bad', operation, body);
      const packed = await cache.askPacked('bad', operation, body);
      for (const reply of [inJson, packed])
        expect({ why, sent: body, ...reply }).toMatchObject({ ...refusal(field), why });
      refused += 1;
    }
    expect(refused).toBeGreaterThan(3);
  },
);

test('a bad set among many refuses only itself, by the field that is wrong', async () => {
  const good = { key: 'good', value: 1 };
  for (const { why, field, body } of badRequests(SetRequest, { key: 'a', value: 1 })) {
    const reply = await cache.ask('items', 'set-many', { items: [good, body, good] });
    expect({ why, ...reply }).toMatchObject({
      status: 0,
      body: {
        items: [
          { version: expect.any(Number) as number },
          { error: { code: 'invalid_request', details: { field } } },
          { version: expect.any(Number) as number },
        ],
      },
    });
  }
});

test.each(['get-many', 'delete-many'])(
  'a bad key among many refuses only itself in %s',
  async (operation) => {
    const keys = ['', 7, null, 'x'.repeat(1_025), 'ü'.repeat(600), ['a'], 'fine'];
    const { body } = await cache.ask('items', operation, { keys });
    const { items } = body as { items: object[] };
    for (const item of items.slice(0, -1))
      expect(item).toMatchObject({ error: { code: 'invalid_request', details: { field: 'key' } } });
    expect(items.at(-1)).not.toHaveProperty('error');
  },
);

test.each(['get', 'exists', 'delete', 'increment'])(
  'a key over 1,024 bytes is refused by %s',
  async (operation) => {
    const fits = { key: 'ü'.repeat(512) };
    expect((await cache.ask('bytes', operation, fits)).status).toBe(0);
    expect(await cache.ask('bytes', operation, { key: `${fits.key}x` })).toMatchObject(refusal('key'));
  },
);

test('a lone surrogate is no key', async () => {
  const reply = await cache.send('trivet.cache.bytes.get', String.raw`{"key":"\ud800"}`);
  expect(reply).toMatchObject(refusal('key'));
});

test('what may be added is bounded on both sides, and the refusal says so', async () => {
  const { body } = await cache.ask('bounds', 'increment', { key: 'a', by: 2 ** 60 });
  expect(body).toMatchObject({
    error: {
      message: 'by must be a whole number from -9007199254740991 to 9007199254740991',
      details: { field: 'by' },
    },
  });
});

test('a value that only its own encoding can carry is refused in the other one, which is named', async () => {
  // {key: 'a', value: an extension type that nobody here knows}
  const body = Buffer.from('82a36b6579a161a576616c7565d40701', 'hex');
  const packed = { 'Content-Type': 'application/msgpack' };
  expect(await cache.send('trivet.cache.foreign.set', body, packed)).toMatchObject({ status: 0 });
  expect(await cache.ask('foreign', 'get', { key: 'a' })).toMatchObject({
    status: 409,
    body: {
      error: {
        code: 'wrong_state',
        message: 'the value is kept as application/msgpack and cannot be given as application/json',
      },
    },
  });
});

test('an unknown operation and a bad namespace are named', async () => {
  expect(await cache.ask('some', 'peek', {})).toMatchObject(refusal('operation'));
  expect(await cache.ask('some', 'constructor', {})).toMatchObject(refusal('operation'));
  expect(await cache.ask('a$b', 'get', { key: 'a' })).toMatchObject(refusal('namespace'));
  expect(await cache.ask('x'.repeat(65), 'get', { key: 'a' })).toMatchObject(refusal('namespace'));
});

test('a ttl beyond ten years is refused wherever it stands', async () => {
  const ttl = '999999999999d';
  expect(await cache.ask('ttl', 'set', { key: 'a', value: 1, ttl })).toMatchObject(refusal('ttl'));
  expect(await cache.ask('ttl', 'touch', { key: 'a', ttl })).toMatchObject(refusal('ttl'));
  expect(await cache.ask('ttl', 'increment', { key: 'a', ttl })).toMatchObject(refusal('ttl'));
  expect(await cache.ask('ttl', 'configure', { defaultTtl: ttl })).toMatchObject(refusal('defaultTtl'));
});

test('a cursor that was changed, or is of another listing, is refused', async () => {
  const keys = Array.from({ length: 5 }, (_, n) => ({ key: `k${n}`, value: n }));
  for (const namespace of ['pages', 'others']) await cache.ask(namespace, 'set-many', { items: keys });
  const { body } = await cache.ask('pages', 'keys', { prefix: 'k', limit: 2 });
  const { cursor = '' } = body as { cursor?: string };
  expect((await cache.ask('pages', 'keys', { prefix: 'k', limit: 2, cursor })).status).toBe(0);
  for (const changed of [`${cursor}A`, cursor.slice(0, -1), `A${cursor}`, cursor.replace('.', '..'), 'k3'])
    expect(await cache.ask('pages', 'keys', { prefix: 'k', cursor: changed })).toMatchObject(
      refusal('cursor'),
    );
  expect(await cache.ask('pages', 'keys', { cursor })).toMatchObject(refusal('cursor'));
  expect(await cache.ask('others', 'keys', { prefix: 'k', cursor })).toMatchObject(refusal('cursor'));
});

test('ifAbsent and ifVersion exclude each other', async () => {
  const reply = await cache.ask('cas', 'set', { key: 'a', value: 1, ifAbsent: true, ifVersion: 1 });
  expect(reply).toMatchObject(refusal('ifVersion'));
});

test('a body that is not of its encoding, and an encoding that we do not speak, are refused', async () => {
  const subject = 'trivet.cache.encoding.get';
  for (const body of ['{', 'nonsense', '\u0000', '{"key":"a"}}'])
    expect(await cache.send(subject, body)).toMatchObject(refusal('body'));
  expect(await cache.send(subject, new Uint8Array([0xff, 0xfe]))).toMatchObject(refusal('body'));
  const packed = { 'Content-Type': 'application/msgpack' };
  expect(await cache.send(subject, new Uint8Array([0x92, 0x01]), packed)).toMatchObject(refusal('body'));
  // A byte that means nothing, and a string that is no UTF-8: in a key, and in a value that would be kept as it is.
  const set = subject.replace('.get', '.set');
  for (const value of ['c1', 'a1ff', '91a2c328', '81c3c1'])
    for (const body of [
      `82a36b6579a161a576616c7565${value}`,
      `81a56974656d739182a36b6579a161a576616c7565${value}`,
    ])
      for (const to of [set, `${set}-many`])
        expect(await cache.send(to, Buffer.from(body, 'hex'), packed)).toMatchObject(refusal('body'));
  expect(await cache.send(subject, Buffer.from('81a36b6579a1ff', 'hex'), packed)).toMatchObject(
    refusal('body'),
  );
  expect(await cache.send(subject, '', { 'Content-Type': 'text/xml' })).toMatchObject(
    refusal('Content-Type'),
  );
  expect(await cache.send(subject, '', { Accept: 'image/png' })).toMatchObject(refusal('Accept'));
});

test('a value nested deeper than the stack comes back as it was, and is refused in the other encoding', async () => {
  const depth = 200_000;
  const packed = { 'Content-Type': 'application/msgpack' };
  const [get, set] = ['trivet.cache.deep.get', 'trivet.cache.deep.set'];
  const json = `{"key":"json","value":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  expect(await cache.send(set, json)).toMatchObject({ status: 0 });
  expect((await cache.send(get, '{"key":"json"}')).body).toMatchObject({ hit: true });
  expect(await cache.send(get, pack({ key: 'json' }), packed)).toMatchObject({ status: 409 });

  const envelope = pack({ key: 'packed', value: 7 });
  const nested = Buffer.concat([envelope.subarray(0, -1), Buffer.alloc(depth, 0x91), Buffer.from([0xc0])]);
  expect(await cache.send(set, nested, packed)).toMatchObject({ status: 0 });
  expect(await cache.send(get, '{"key":"packed"}')).toMatchObject({ status: 409 });
});

test('no object that a caller sends passes for a stored value', async () => {
  const value = {
    stored: { encoding: 'application/json', encoded: '}{', sizeBytes: 2 },
    encoded: '}{',
    sizeBytes: 2,
  };
  await cache.ask('forged', 'set', { key: 'a', value });
  expect((await cache.ask('forged', 'get', { key: 'a' })).body).toMatchObject({ hit: true, value });
  await cache.askPacked('forged', 'set', { key: 'b', value });
  expect((await cache.ask('forged', 'get', { key: 'b' })).body).toMatchObject({ hit: true, value });
});

test('after all of that the node still serves', async () => {
  await cache.ask('after', 'set', { key: 'a', value: 1 });
  expect((await cache.ask('after', 'get', { key: 'a' })).body).toMatchObject({ hit: true });
  expect(await cache.node.stop()).toBe(0);
});
