import { get as httpGet } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCluster, startCluster } from './running-cluster.ts';
import { asking } from './asking.ts';
import { type RunningGateway, token } from './running-gateway.ts';

// `GET /v1/events` against the real services.

let cluster: RunningCluster;
let gateway: RunningGateway;
beforeAll(async () => {
  cluster = await startCluster({ TRIVET_HTTP_EVENT_STREAMS: '3', TRIVET_HTTP_EVENT_STREAMS_EACH: '2' });
  gateway = cluster.gateway;
});
afterAll(() => cluster.stop());

const { ask, enqueue } = asking(() => gateway);

/** Reads a stream until it is stopped. */
async function watch(query: string, lastEventId?: string, credential = token) {
  const seen: { id: string; event: string; data: Record<string, unknown> }[] = [];
  const abort = new AbortController();
  const response = await fetch(`${gateway.http}/v1/events${query}`, {
    headers: {
      authorization: `Bearer ${credential}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
    signal: abort.signal,
  });
  const ended = (async () => {
    let left = '';
    try {
      for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        left += part;
        const blocks = left.split('\n\n');
        left = blocks.pop() ?? '';
        for (const block of blocks) {
          const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? '';
          if (field('event') === '') continue;
          const data = JSON.parse(field('data')) as Record<string, unknown>;
          seen.push({ id: field('id'), event: field('event'), data });
        }
      }
    } catch {
      // Stopped by us, or by the gateway: either way it is over.
    }
  })();
  return {
    response,
    seen,
    ended,
    stop: async () => {
      abort.abort();
      await ended;
    },
  };
}

const states = (stream: { readonly seen: readonly { readonly data: Record<string, unknown> }[] }) =>
  stream.seen.map(({ data }) => data['state']);

test('tell what becomes of items, queue by queue and state by state, and never a payload', async () => {
  const all = await watch('');
  const one = await watch('?queue=watched&state=done');
  expect(all.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  expect(all.response.headers.get('x-content-type-options')).toBe('nosniff');
  const id = await enqueue('watched', { payload: 'a secret' });
  await enqueue('unwatched', { payload: 1 });
  const leased = await ask('POST', '/v1/queues/watched/dequeue', {});
  const [item] = leased.body['items'] as { token: number }[];
  await ask('POST', '/v1/queues/watched/complete', { id, token: item?.token });
  await expect.poll(() => states(one), { timeout: 10_000 }).toEqual(['done']);
  expect(one.seen[0]).toMatchObject({ event: 'queue', data: { queue: 'watched', items: [{ id }] } });
  await expect.poll(() => all.seen.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(4);
  expect(JSON.stringify(all.seen)).toContain('unwatched');
  expect(JSON.stringify(all.seen)).not.toContain('a secret');
  await all.stop();
  await one.stop();
});

test('go on behind the last one that was read: none lost, none twice', async () => {
  const first = await watch('?queue=resumed');
  await enqueue('resumed', { payload: 1 });
  await expect.poll(() => first.seen.length, { timeout: 10_000 }).toBe(1);
  await first.stop();
  for (let n = 2; n <= 4; n += 1) await enqueue('resumed', { payload: n });
  const second = await watch('?queue=resumed', first.seen[0]?.id);
  await enqueue('resumed', { payload: 5 });
  await expect.poll(() => second.seen.length, { timeout: 10_000 }).toBe(4);
  expect(second.seen.every(({ event }) => event === 'queue')).toBe(true);
  expect(new Set(second.seen.map(({ id }) => id)).size).toBe(4);
  await second.stop();
});

test('say so when something may have been missed', async () => {
  const stream = await watch('?queue=resumed', 'zzz-1-1');
  await expect.poll(() => stream.seen[0]?.event, { timeout: 10_000 }).toBe('gap');
  await stream.stop();
  const odd = await watch('?queue=resumed', 'no id at all');
  await expect.poll(() => odd.seen[0]?.event, { timeout: 10_000 }).toBe('gap');
  await odd.stop();
});

test('end when their token is revoked, and show each caller what is his to see', async () => {
  const created = await ask('POST', '/v1/tokens', {
    name: 'watcher',
    grants: [{ role: 'viewer', queues: ['seen*'] }],
  });
  expect(created.status).toBe(201);
  const stream = await watch('', undefined, String(created.body['token']));
  await enqueue('unseen', { payload: 1 });
  await enqueue('seen-1', { payload: 1 });
  await expect.poll(() => stream.seen.length, { timeout: 10_000 }).toBe(1);
  expect(stream.seen[0]?.data).toMatchObject({ queue: 'seen-1' });
  expect((await ask('POST', `/v1/tokens/${String(created.body['id'])}/revoke`)).status).toBe(200);
  // Ends by itself; a test that hangs here has shown that it does not.
  await stream.ended;
});

test('more streams than there may be are 429', async () => {
  const watcher = async (name: string) =>
    String((await ask('POST', '/v1/tokens', { name, grants: [{ role: 'viewer' }] })).body['token']);
  const [one, other] = [await watcher('one'), await watcher('other')];
  const authorization = (credential: string) => ({ authorization: `Bearer ${credential}` });
  const refused = { status: 429, body: { code: 'rate_limited' } };
  const streams = await Promise.all([watch('', undefined, one), watch('', undefined, one)]);
  // None takes the streams of the others.
  expect(await ask('GET', '/v1/events', undefined, authorization(one))).toMatchObject(refused);
  streams.push(await watch('', undefined, other));
  expect(streams.at(-1)?.response.status).toBe(200);
  expect(await ask('GET', '/v1/events', undefined, authorization(other))).toMatchObject(refused);
  await Promise.all(streams.map((stream) => stream.stop()));
  const watchAgain = async () => {
    const stream = await watch('');
    await stream.stop();
    return stream.response.status;
  };
  await expect.poll(watchAgain, { timeout: 10_000 }).toBe(200);
});

test.each(['?queue=a&namespace=b', '?state=done&namespace=b', '?state=asleep', '?queue=a.b'])(
  'a filter that makes no sense is 400: %s',
  async (query) => {
    expect((await ask('GET', `/v1/events${query}`)).status).toBe(400);
  },
);

test('a reader who does not read is dropped, and the gateway keeps its memory', async () => {
  const headers = { authorization: `Bearer ${token}` };
  httpGet(`${gateway.http}/v1/events`, { headers }, (response) => {
    // Never read: the socket's buffers fill, and then the gateway's.
    response.pause();
  }).on('error', () => undefined);
  const big = JSON.stringify([{ id: '0-1', why: 'x'.repeat(200_000) }]);
  await expect
    .poll(
      async () => {
        for (let n = 0; n < 20; n += 1) gateway.connection.publish('trivet.events.queue.flood.pending', big);
        await gateway.connection.flush();
        const open = await ask('GET', '/metrics');
        return open.text.includes('trivet_gateway_event_streams_dropped_total 1');
      },
      { timeout: 20_000, interval: 50 },
    )
    .toBe(true);
  expect((await ask('GET', '/health/live')).status).toBe(200);
});
