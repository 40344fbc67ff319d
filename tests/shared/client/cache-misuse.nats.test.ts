import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PayloadSchema, type Trivet, connect } from '#shared/client/client.ts';
import { TrivetError } from '#shared/protocol/errors.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

// What a program without types, or with a mistake in it, asks of the cache: it is refused, and nobody else with it.

let server: RunningNatsServer;
let node: ServiceProcess;
let trivet: Trivet;
let other: Trivet;

beforeAll(async () => {
  server = await startNatsServer();
  node = await startService('cache-node', { ...natsEnvironment(server), TRIVET_CACHE_LEASE_MS: '10000' });
  trivet = await connect({ url: server.url });
  other = await connect({ url: server.url });
  // The map of the nodes is known from here on: keys are then hashed, which is where a bad one is met.
  await trivet.cache('first').set('k', 1);
});

afterAll(async () => {
  await trivet?.close();
  await other?.close();
  await node?.stop();
  await server?.stop();
});

const encodings = ['application/json', 'application/msgpack'] as const;

const codeOf = (outcome: PromiseSettledResult<unknown>): string =>
  outcome.status === 'fulfilled'
    ? 'done'
    : outcome.reason instanceof TrivetError
      ? `${outcome.reason.code} ${String(outcome.reason.details?.['field'])}`
      : String(outcome.reason);

test.each(encodings)(
  'a key that is no text is refused, and those of its turn are served (%s)',
  async (encoding) => {
    const values = trivet.cache('keys', { encoding });
    await values.set('a', 1);
    for (const key of [undefined, null, 5, {}, Symbol('k'), '\ud800'] as never[]) {
      const outcomes = await Promise.allSettled([
        values.get('a'),
        values.get(key),
        values.getMany([key]),
        values.delete('none'),
        values.delete(key),
        values.set('b', 2),
        values.set(key, 3),
        values.getOrSet(key, () => 4),
        values.exists(key),
      ]);
      const bad = 'invalid_request key';
      const set = key === ('\ud800' as never) ? expect.stringContaining('invalid_request') : bad;
      expect(outcomes.map(codeOf).slice(0, 6)).toEqual(['done', bad, bad, 'done', bad, 'done']);
      expect(outcomes.map(codeOf).slice(6)).toEqual([set, bad, bad]);
    }
    expect(await values.get('b')).toBe(2);
  },
);

test.each([
  [{ encode: 'application/msgpack' }, 'encode'],
  [{ encoding: 'msgpack' }, 'encoding'],
  [{ timeoutMs: '5s' }, 'timeoutMs'],
  [{ timeoutMs: 0 }, 'timeoutMs'],
  [{ schema: { type: 'object' } }, 'schema'],
  [{ onError: 'log' }, 'onError'],
  [{ near: 'yes' }, 'near'],
  [{ near: null }, 'near'],
  [{ near: { max: 5 } }, 'near.max'],
  [{ near: { entriesMax: 0 } }, 'near.entriesMax'],
  [{ near: { ttl: 'long' } }, 'near.ttl'],
] as const)('options %j are refused at once, by name', (options, field) => {
  expect(() => trivet.cache('options', options as never)).toThrow(
    expect.objectContaining({ code: 'invalid_request', details: expect.objectContaining({ field }) }),
  );
});

test.each(encodings)(
  'a value that cannot be sent takes no other set of its turn with it (%s)',
  async (encoding) => {
    const values = trivet.cache('values', { encoding });
    const bad: unknown[] = [() => 1, Symbol('v'), undefined];
    if (encoding === 'application/json') bad.push({ toJSON: () => undefined });
    else
      bad.push('half \ud83d', { '\udc00': 1 }, new Float32Array([1.5]), [new DataView(new ArrayBuffer(4))]);
    for (const [n, value] of bad.entries()) {
      const outcomes = await Promise.allSettled([
        values.set(`before${n}`, n),
        values.set('bad', value),
        values.set(`after${n}`, n),
      ]);
      expect(outcomes.map(codeOf)).toEqual(['done', 'invalid_request value', 'done']);
      expect(await values.getMany([`before${n}`, 'bad', `after${n}`])).toEqual([n, undefined, n]);
    }
  },
);

test('a setting that is undefined keeps, in MessagePack as in JSON', async () => {
  for (const encoding of encodings) {
    const values = trivet.cache(`settings-${encoding.length}`, { encoding });
    await values.configure({ entriesMax: 10 });
    const unset = { entriesMax: undefined, bytesMax: undefined, strategy: undefined, defaultTtl: undefined };
    expect(await values.configure(unset as never)).toMatchObject({ entriesMax: 10, strategy: 'lru' });
    await Promise.all(Array.from({ length: 30 }, (_, n) => values.set(`k${n}`, n)));
    expect(await values.stats()).toMatchObject({ entries: 10, entriesMax: 10, bytesMax: 268_435_456 });
  }
});

test('a cache that is first used while its client closes, or after that, is unavailable', async () => {
  const client = await connect({ url: server.url });
  const set = client.cache('late').set('k', 1);
  const closed = client.close();
  await expect(set).rejects.toMatchObject({ code: 'unavailable' });
  await closed;
  await expect(client.cache('later').set('k', 1)).rejects.toMatchObject({ code: 'unavailable' });
  await expect(client.cache('later').delete('k')).rejects.toMatchObject({ code: 'unavailable' });
  await expect(client.cache('later').get('k')).rejects.toMatchObject({ code: 'unavailable' });
  expect(await client.cache('later').getOrSet('k', () => 'from the source')).toBe('from the source');
});

const isNumber: PayloadSchema<unknown, number> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) =>
      typeof value === 'number' ? { value } : { issues: [{ message: 'must be a number' }] },
  },
};

test('a value that no longer fits is filled anew once, and then found', async () => {
  await other.cache('refitted').setMany([
    { key: 'k', value: 'of an older version' },
    { key: 'u', value: 'of an older version' },
  ]);
  let fills = 0;
  const fill = () => (fills += 1);
  const asked = [trivet, other].flatMap((client) => {
    const typed = client.cache('refitted', { schema: isNumber });
    return Array.from({ length: 20 }, () => typed.getOrSet('k', fill));
  });
  expect(new Set(await Promise.all(asked))).toEqual(new Set([1]));
  expect(await trivet.cache('refitted', { schema: isNumber }).getOrSet('k', fill)).toBe(1);
  expect([fills, await other.cache('refitted').get('k')]).toEqual([1, 1]);
});

test('an update of a value that no longer fits begins without one, and sets', async () => {
  await other.cache('updated').set('k', 'of an older version');
  const typed = trivet.cache('updated', { schema: isNumber });
  expect(await typed.update('k', (value) => (value ?? 40) + 2)).toBe(42);
  expect(await other.cache('updated').get('k')).toBe(42);
});

test('a fill that fails with the words "nothing found" fails for those who wait, too', async () => {
  const [values, others] = [trivet.cache('words'), other.cache('words')];
  for (const text of ['nothing found', 'nothing found in the table users']) {
    const began = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const failing = values.getOrSet(text, async () => {
      began.resolve();
      await gate.promise;
      throw new Error(text);
    });
    await began.promise;
    const waiting = others.getOrSet(text, () => 'not asked');
    await expect.poll(async () => (await values.stats()).loads.waiting).toBe(1);
    gate.resolve();
    const outcomes = await Promise.allSettled([failing, waiting]);
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason: { message: text } },
      { status: 'rejected', reason: { code: 'unavailable', details: { loadFailed: true } } },
    ]);
  }
});
