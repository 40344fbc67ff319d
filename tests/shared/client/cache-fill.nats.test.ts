import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Trivet, connect } from '#shared/client/client.ts';
import { TrivetError } from '#shared/protocol/errors.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

let server: RunningNatsServer;
let node: ServiceProcess;
let trivet: Trivet;
const fillers: ChildProcess[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  node = await startService('cache-node', { ...natsEnvironment(server), TRIVET_CACHE_LEASE_MS: '10000' });
  trivet = await connect({ url: server.url });
});

afterAll(async () => {
  for (const filler of fillers) filler.disconnect();
  await trivet?.close();
  await node?.stop();
  await server?.stop();
});

interface Asked {
  readonly fills: number;
  readonly values: readonly string[];
  readonly count: number;
}

/** Four processes of a thousand callers each, which ask for one key at once. */
async function askEverywhere(key: string): Promise<readonly Asked[]> {
  while (fillers.length < 4) {
    const filler = fork(join(import.meta.dirname, 'cache-filler.ts'), [server.url, '1000'], { execArgv: [] });
    fillers.push(filler);
    await once(filler, 'message');
  }
  return Promise.all(
    fillers.map(async (filler) => {
      const answer = once(filler, 'message');
      filler.send(key);
      const [asked] = (await answer) as [Asked];
      return asked;
    }),
  );
}

const sleepOf = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('a thousand callers in each of four processes run the fill once', { timeout: 60_000 }, async () => {
  const asked = await askEverywhere('k');
  expect(asked.map((one) => one.count)).toEqual([1_000, 1_000, 1_000, 1_000]);
  expect(asked.reduce((sum, one) => sum + one.fills, 0)).toBe(1);
  expect(new Set(asked.flatMap((one) => one.values)).size).toBe(1);
  expect((await trivet.cache('filled').getEntry('k'))?.ttlMs).toBeGreaterThan(50_000);
});

test(
  'a fill that fails is reported to all callers of all processes, and remembered',
  { timeout: 60_000 },
  async () => {
    const asked = await askEverywhere('failing');
    expect(asked.reduce((sum, one) => sum + one.fills, 0)).toBe(1);
    for (const value of asked.flatMap((one) => one.values)) expect(value).toContain('the source is down');
    const later = trivet.cache<string>('filled').getOrSet('failing', () => 'not asked');
    await expect(later).rejects.toMatchObject({
      code: 'unavailable',
      details: { loadFailed: true, retryAfterMs: expect.any(Number) },
    });
    expect(await trivet.cache('filled').exists('failing')).toBe(false);
  },
);

test('a stale value comes at once while one caller fetches a fresh one', async () => {
  const values = trivet.cache<string>('grace');
  await values.set('k', 'old', { ttl: 30, grace: '1m' });
  await expect.poll(async () => (await values.getEntry('k'))?.stale).toBe(true);
  const seen: (string | undefined)[] = [];
  const { promise: filled, resolve: finish } = Promise.withResolvers<string>();
  const fill = ({ stale }: { readonly stale: string | undefined }) => {
    seen.push(stale);
    return filled;
  };
  const options = { ttl: '1m', grace: '1m' } as const;
  const asked = Array.from({ length: 5 }, () => trivet.cache<string>('grace').getOrSet('k', fill, options));
  expect(await Promise.all(asked)).toEqual(['old', 'old', 'old', 'old', 'old']);
  expect(seen).toEqual(['old']);
  finish('fresh');
  await expect.poll(() => values.get('k')).toBe('fresh');
});

test('a fresh value that comes within the soft time-out is waited for, a later one is not', async () => {
  const values = trivet.cache<string>('soft');
  const makeStale = async () => {
    await values.set('k', 'old', { ttl: 20, grace: '1m' });
    await expect.poll(async () => (await values.getEntry('k'))?.stale).toBe(true);
  };
  await makeStale();
  const soon = () => sleepOf(20).then(() => 'fresh');
  expect(await values.getOrSet('k', soon, { softTimeout: '10s', ttl: '1m' })).toBe('fresh');
  await makeStale();
  const { promise: filled, resolve: finish } = Promise.withResolvers<string>();
  expect(await values.getOrSet('k', () => filled, { softTimeout: 30, ttl: '1m' })).toBe('old');
  finish('late');
  await expect.poll(() => values.get('k')).toBe('late');
});

test('a refresh that fails leaves the stale value, and somebody hears of it', async () => {
  const failures: unknown[] = [];
  const values = trivet.cache<string>('refresh', {
    onError: (error, key) => failures.push([key, String(error)]),
  });
  await values.set('k', 'old', { ttl: 20, grace: '1m' });
  await expect.poll(async () => (await values.getEntry('k'))?.stale).toBe(true);
  const failing = () => Promise.reject(new Error('down'));
  expect(await values.getOrSet('k', failing, { softTimeout: '10s', negativeTtl: '1m' })).toBe('old');
  await expect.poll(() => failures).toEqual([['k', 'Error: down']]);
  // Remembered: the next one does not ask the source.
  const asked = vi.fn(() => 'fresh');
  expect(await values.getOrSet('k', asked)).toBe('old');
  expect(asked).not.toHaveBeenCalled();
});

test('beyond the hard time-out the caller is refused, and the fill goes on', async () => {
  const values = trivet.cache<string>('hard');
  const slow = () => sleepOf(200).then(() => 'slow');
  await expect(values.getOrSet('k', slow, { hardTimeout: 30 })).rejects.toMatchObject({ code: 'timeout' });
  await expect.poll(() => values.get('k')).toBe('slow');
});

test('ttl and tags may depend on the value', async () => {
  const users = trivet.cache<{ team: string; active: boolean }>('computed');
  const options = {
    ttl: ({ active }: { readonly active: boolean }) => (active ? '1h' : '1m'),
    tags: ({ team }: { readonly team: string }) => [team],
  };
  await users.getOrSet('a', () => ({ team: 'red', active: true }), options);
  await users.getOrSet('b', () => ({ team: 'blue', active: false }), options);
  expect((await users.getEntry('a'))?.ttlMs).toBeGreaterThan(3_000_000);
  expect((await users.getEntry('b'))?.ttlMs).toBeLessThanOrEqual(60_000);
  expect(await users.invalidateTags(['red'])).toBe(1);
  expect(await users.getMany(['a', 'b'])).toEqual([undefined, { team: 'blue', active: false }]);
});

test('a key that was deleted while it was filled does not come back', async () => {
  const values = trivet.cache<string>('deleted');
  const { promise: filled, resolve: finish } = Promise.withResolvers<string>();
  const asked = values.getOrSet('k', () => filled);
  await expect.poll(async () => (await values.stats()).loads.granted).toBe(1);
  await values.delete('k');
  finish('from before the deletion');
  expect(await asked).toBe('from before the deletion');
  expect(await values.get('k')).toBeUndefined();
});

test('a fill that finds nothing sets nothing, and whoever waits for it gets nothing, too', async () => {
  const values = trivet.cache<string>('nothing');
  const { promise: filled, resolve: finish } = Promise.withResolvers<undefined>();
  const first = values.getOrSet('k', () => filled);
  await expect.poll(async () => (await values.stats()).loads.granted).toBe(1);
  const second = trivet.cache<string>('nothing').getOrSet('k', (): string | undefined => 'asked again');
  await expect.poll(async () => (await values.stats()).loads.waiting).toBe(1);
  finish(undefined);
  expect(await Promise.all([first, second])).toEqual([undefined, undefined]);
  expect(await values.exists('k')).toBe(false);
});

test('forceFresh fills whatever is there', async () => {
  const values = trivet.cache<string>('forced');
  await values.set('k', 'old');
  expect(await values.getOrSet('k', () => 'new', { forceFresh: true })).toBe('new');
  expect(await values.get('k')).toBe('new');
});

test('what is set for ever has no end, in a namespace whose entries have one', async () => {
  const values = trivet.cache<string>('forever');
  await values.configure({ defaultTtl: '1m' });
  await values.set('a', 'with an end');
  await values.setForever('b', 'without');
  await values.getOrSetForever('c', () => 'without');
  const ends = await Promise.all(['a', 'b', 'c'].map(async (key) => (await values.getEntry(key))?.ttlMs));
  expect(ends).toEqual([expect.any(Number), undefined, undefined]);
});

test('what is set while others pull is pulled once, and never lost', async () => {
  const tickets = trivet.cache<number>('tickets');
  const pulled: number[] = [];
  const count = 200;
  const pull = async () => {
    while (pulled.length < count) {
      const ticket = await tickets.pull('next');
      if (ticket !== undefined) pulled.push(ticket);
    }
  };
  const set = async () => {
    for (let ticket = 0; ticket < count;)
      ticket += await tickets.set('next', ticket, { ifAbsent: true }).then(
        () => 1,
        () => 0,
      );
  };
  await Promise.all([set(), pull(), pull(), pull()]);
  expect(pulled.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n));
});

test('of many that pull a key at once one gets it', async () => {
  const tokens = trivet.cache<string>('pulled');
  await tokens.set('t', 'once');
  const pulled = await Promise.all(
    Array.from({ length: 20 }, () => trivet.cache<string>('pulled').pull('t')),
  );
  expect(pulled.filter((one) => one === 'once')).toHaveLength(1);
  expect(await tokens.pull('t')).toBeUndefined();
});

test('a hundred updates at once lose none', { timeout: 60_000 }, async () => {
  const lists = trivet.cache<readonly number[]>('updated');
  const added = Array.from({ length: 100 }, (_, n) =>
    trivet.cache<readonly number[]>('updated').update('l', (list = []) => [...list, n]),
  );
  await Promise.all(added);
  expect((await lists.get('l'))?.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n));
});

test('a bad option of a fill is refused by its name, before anything is asked', async () => {
  const values = trivet.cache<string>('bad');
  const fill = vi.fn(() => 'x');
  for (const field of ['hardTimeout', 'softTimeout', 'lease', 'negativeTtl'])
    await expect(values.getOrSet('k', fill, { [field]: 'soon' })).rejects.toMatchObject({
      code: 'invalid_request',
      details: { field },
    });
  expect(fill).not.toHaveBeenCalled();
  await expect(values.getOrSet('k', fill, { ttl: 'soon' })).rejects.toBeInstanceOf(TrivetError);
});
