import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningGateway } from './running-gateway.ts';
import { type RunningCluster, startCluster } from './running-cluster.ts';
import { asking } from './asking.ts';

// `/v1` against the real services: resources, conditions, OTLP, the page of the document.

let cluster: RunningCluster;
let gateway: RunningGateway;
beforeAll(async () => {
  cluster = await startCluster();
  gateway = cluster.gateway;
});
afterAll(() => cluster.stop());

const { ask, enqueue } = asking(() => gateway);

describe('queues', () => {
  test('an item is enqueued, found at its Location, edited, worked on, waited for and removed', async () => {
    const added = await ask('POST', '/v1/queues/life/enqueue', { payload: 1, delay: '1h' });
    const at = added.headers.get('location') ?? '';
    expect((await ask('GET', at)).body).toMatchObject({ state: 'scheduled', payload: 1 });
    expect((await ask('PATCH', at, { payload: [2], delay: 0 })).body).toMatchObject({ state: 'pending' });
    const waiting = ask('GET', `${at}/result?wait=20s`);
    const leased = await ask('POST', '/v1/queues/life/dequeue', {});
    const [item] = leased.body['items'] as { id: string; token: number; payload: unknown }[];
    expect(item?.payload).toEqual([2]);
    const lease = { id: item?.id, token: item?.token };
    await ask('POST', '/v1/queues/life/log', { ...lease, lines: ['half way'] });
    expect((await ask('GET', `${at}/logs?limit=5`)).body).toMatchObject({ lines: [{ line: 'half way' }] });
    const done = await ask('POST', '/v1/queues/life/complete', { items: [{ ...lease, result: 'ok' }] });
    expect(done.body).toMatchObject({ items: [{ state: 'done' }] });
    expect((await waiting).body).toMatchObject({ state: 'done', result: 'ok' });
    expect((await ask('DELETE', at)).body).toEqual({ count: 1, more: false });
    expect((await ask('GET', at)).status).toBe(404);
  });

  test('a wait that is longer than any may be is refused', async () => {
    const id = await enqueue('waits', { payload: 1 });
    expect(await ask('GET', `/v1/queues/waits/items/${id}/result?wait=61s`)).toMatchObject({
      status: 400,
      body: { field: 'wait' },
    });
  });

  test('an item that has not changed is 304, and one that has is sent', async () => {
    const id = await enqueue('tagged', { payload: 1 });
    const path = `/v1/queues/tagged/items/${id}`;
    const first = await ask('GET', path);
    const tag = first.headers.get('etag') ?? '';
    expect(tag).toMatch(/^W\/"/);
    const headers = { 'if-none-match': `"other", ${tag}` };
    expect(await ask('GET', path, undefined, headers)).toMatchObject({ status: 304, text: '' });
    await ask('POST', '/v1/queues/tagged/cancel', { id });
    expect((await ask('GET', path, undefined, headers)).body).toMatchObject({ state: 'cancelled' });
  });

  test('settings are changed by whoever knows the ones that are there', async () => {
    const path = '/v1/queues/settled';
    const before = await ask('GET', path);
    const tag = before.headers.get('etag') ?? '';
    const changed = await ask('PATCH', path, { maxAttempts: 3 }, { 'if-match': tag });
    expect(changed).toMatchObject({ status: 200, body: { settings: { maxAttempts: 3 } } });
    const late = await ask('PATCH', path, { maxAttempts: 9 }, { 'if-match': tag });
    expect(late).toMatchObject({ status: 412, body: { code: 'conflict', status: 412 } });
    const now = await ask('GET', path, undefined, { 'if-none-match': changed.headers.get('etag') ?? '' });
    expect(now.status).toBe(304);
    expect((await ask('PATCH', path, { maxAttempts: 4 })).status).toBe(200);
    for (const foreign of ['"made-up"', '""', `"${'x'.repeat(200)}"`, 'bare', '"a", "b"'])
      expect((await ask('PATCH', path, { maxAttempts: 5 }, { 'if-match': foreign })).status).toBe(412);
    const newest = (await ask('GET', path)).headers.get('etag') ?? '';
    const among = { 'if-match': `"other", ${newest}` };
    expect((await ask('PATCH', path, { maxAttempts: 6 }, among)).status).toBe(200);
    expect((await ask('PATCH', path, { maxAttempts: 7 }, { 'if-match': '*' })).status).toBe(200);
    const twice = await ask('PATCH', path, { ifTag: 'x' }, { 'if-match': newest });
    expect(twice).toMatchObject({ status: 400, body: { field: 'ifTag' } });
    const other = await ask('POST', '/v1/queues/settled/pause', undefined, { 'if-match': tag });
    expect(other).toMatchObject({ status: 400, body: { field: 'If-Match' } });
  });

  test('of many who change what they have all read, in the same moment, one succeeds', async () => {
    const path = '/v1/queues/contended';
    for (let round = 0; round < 5; round += 1) {
      const before = await ask('GET', path);
      const headers = { 'if-match': before.headers.get('etag') ?? '' };
      const wanted = Array.from({ length: 10 }, (_, index) => 100 * (round + 1) + index);
      const answers = await Promise.all(
        wanted.map((maxAttempts) => ask('PATCH', path, { maxAttempts }, headers)),
      );
      const won = answers.flatMap(({ status }, index) => (status === 200 ? [wanted[index]] : []));
      expect(won).toHaveLength(1);
      expect(answers.filter(({ status }) => status === 412)).toHaveLength(9);
      expect((await ask('GET', path)).body).toMatchObject({ settings: { maxAttempts: won[0] } });
    }
  });

  test('schedules are made, read, replaced and removed one by one', async () => {
    const path = '/v1/queues/nightly/schedules/clean%20up';
    const made = await ask('PUT', path, { cron: '0 3 * * *', payload: { deep: true } });
    expect(made).toMatchObject({ status: 200, body: { cron: '0 3 * * *', timeZone: 'UTC', missed: 'once' } });
    expect((await ask('GET', path)).body).toHaveProperty('nextAt');
    await ask('PUT', path, { cron: '0 4 * * *', timeZone: 'Europe/Berlin' });
    expect((await ask('GET', '/v1/queues/nightly/schedules')).body).toMatchObject({
      'clean up': { cron: '0 4 * * *', timeZone: 'Europe/Berlin' },
    });
    expect((await ask('PUT', path, { cron: 'never' })).status).toBe(400);
    expect(await ask('DELETE', path)).toMatchObject({ status: 204, text: '' });
    expect((await ask('GET', path)).status).toBe(404);
  });

  test('a schedule keeps every digit of its payload, wherever it is read', async () => {
    const path = '/v1/queues/exact/schedules/s';
    const payload = '"payload":{"n":9007199254740993,"d":1.10}';
    expect((await ask('PUT', path, `{"cron":"0 3 * * *",${payload}}`)).text).toContain(payload);
    for (const place of [path, '/v1/queues/exact/schedules', '/v1/queues/exact'])
      expect((await ask('GET', place)).text).toContain(payload);
  });

  test('names, figures, workers and a flow with its children', async () => {
    const flow = { payload: 'parent', children: [{ queue: 'parts', payload: 1 }] };
    const added = await ask('POST', '/v1/queues/flows/enqueue-flow', flow);
    expect(added.body).toMatchObject({ state: 'blocked', children: 1 });
    const path = `/v1/queues/flows/items/${String(added.body['id'])}/children`;
    await expect
      .poll(async () => (await ask('GET', path)).body, { timeout: 10_000 })
      .toMatchObject({ items: [{ queue: 'parts', state: 'pending' }] });
    expect((await ask('GET', '/v1/queues?limit=500')).body['queues']).toEqual(
      expect.arrayContaining(['flows', 'parts']),
    );
    expect((await ask('GET', '/v1/queues/flows/stats')).body).toMatchObject({ queue: 'flows' });
    expect((await ask('GET', '/v1/queues/flows/workers')).body).toMatchObject({ workers: [] });
    expect((await ask('DELETE', '/v1/queues/flows')).body).toMatchObject({ more: false });
  });

  test('a batch that is larger than any single payload is taken whole', async () => {
    const items = Array.from({ length: 40 }, () => ({ payload: 'x'.repeat(50_000) }));
    const added = await ask('POST', '/v1/queues/large/enqueue-many', { items });
    expect(added.body['items']).toHaveLength(40);
  });

  test('an Idempotency-Key makes one item of two requests, and one claim of two dequeues', async () => {
    const headers = { 'idempotency-key': 'order-1' };
    const first = await ask('POST', '/v1/queues/once/enqueue', { payload: 1 }, headers);
    const second = await ask('POST', '/v1/queues/once/enqueue', { payload: 2 }, headers);
    expect(second.body).toEqual({ ...first.body, duplicate: true });
    const claim = { 'idempotency-key': 'claim-1' };
    const one = await ask('POST', '/v1/queues/once/dequeue', {}, claim);
    const again = await ask('POST', '/v1/queues/once/dequeue', {}, claim);
    expect(again.body).toEqual(one.body);
  });
});

describe('the cache', () => {
  test('an entry changes under the conditions of HTTP, and its tag is its version', async () => {
    const path = `/v1/cache/shop/entries/${encodeURIComponent('a/b ü?')}`;
    const absent = { 'if-none-match': '*' };
    const set = await ask('PUT', path, { value: { n: 1 }, ttl: '5m' }, absent);
    expect(set.status).toBe(200);
    const tag = set.headers.get('etag') ?? '';
    expect(tag).toBe(`"${String(set.body['version'])}"`);
    expect(await ask('PUT', path, { value: 2 }, absent)).toMatchObject({ status: 412 });
    const read = await ask('GET', path);
    expect(read.body).toMatchObject({ hit: true, value: { n: 1 } });
    expect(read.headers.get('etag')).toBe(tag);
    expect((await ask('GET', path, undefined, { 'if-none-match': tag })).status).toBe(304);
    const next = await ask('PUT', path, { value: 3 }, { 'if-match': tag });
    expect(next.status).toBe(200);
    expect(await ask('PUT', path, { value: 4 }, { 'if-match': tag })).toMatchObject({
      status: 412,
      body: { code: 'conflict' },
    });
    for (const odd of ['*', 'W/"1"', '"1", "2"', '"x"'])
      expect(await ask('PUT', path, { value: 4 }, { 'if-match': odd })).toMatchObject({
        status: 400,
        body: { field: 'If-Match' },
      });
    // A condition of the body would take the place of the header's.
    for (const [headers, field, condition] of [
      [absent, 'ifAbsent', false],
      [absent, 'ifVersion', 0],
      [{ 'if-match': tag }, 'ifVersion', next.body['version']],
    ] as const)
      expect(await ask('PUT', path, { value: 4, [field]: condition }, headers)).toMatchObject({
        status: 400,
        body: { field },
      });
    expect((await ask('GET', path)).body).toMatchObject({ value: 3 });
    expect(await ask('DELETE', path, undefined, { 'if-match': tag })).toMatchObject({ status: 412 });
    expect(await ask('DELETE', path, undefined, { 'if-match': '*' })).toMatchObject({ status: 400 });
    expect((await ask('GET', path)).body).toMatchObject({ hit: true, value: 3 });
    const current = { 'if-match': next.headers.get('etag') ?? '' };
    expect((await ask('DELETE', path, undefined, current)).body).toEqual({ deleted: true });
    expect((await ask('DELETE', path)).body).toEqual({ deleted: false });
    expect(await ask('GET', path)).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });

  test('namespaces have settings, keys, figures and every operation of the protocol', async () => {
    expect((await ask('PATCH', '/v1/cache/tools', { entriesMax: 1000 })).body).toMatchObject({
      entriesMax: 1000,
    });
    const set = { items: [{ key: 'a', value: 9007199254740991 }, { key: 'b', value: 2 }, { key: '' }] };
    const many = await ask('POST', '/v1/cache/tools/set-many', set);
    expect(many.body).toMatchObject({ items: [{}, {}, { error: { code: 'invalid_request' } }] });
    expect((await ask('POST', '/v1/cache/tools/increment', { key: 'n', by: 5 })).body).toMatchObject({
      value: 5,
    });
    const keys = await ask('GET', '/v1/cache/tools/keys?limit=10');
    expect(keys.body['keys']).toEqual(expect.arrayContaining(['a', 'b', 'n']));
    expect((await ask('POST', '/v1/cache/tools/get-many', { keys: ['a', 'x'] })).body).toMatchObject({
      items: [{ hit: true, value: 9007199254740991 }, { hit: false }],
    });
    expect((await ask('GET', '/v1/cache/tools')).body).toMatchObject({ namespace: 'tools', entries: 3 });
    expect((await ask('GET', '/v1/cache')).body).toHaveProperty('namespaces');
    expect((await ask('DELETE', '/v1/cache/tools')).body).toEqual({ cleared: 3 });
  });
});

describe('telemetry', () => {
  test('OTLP is taken as protobuf and as JSON, packed or not, and the collector counts it', async () => {
    const counted = async () => {
      const stats = await ask('GET', '/v1/telemetry/stats');
      return (stats.body['kinds'] as { otlp: { received: number } }).otlp.received;
    };
    const before = await counted();
    const json = {
      resourceLogs: [
        { scopeLogs: [{ logRecords: [{ timeUnixNano: '1', body: { stringValue: 'hello' } }] }] },
      ],
    };
    const asJson = await ask('POST', '/v1/otlp/v1/logs', json);
    expect(asJson).toMatchObject({ status: 200, text: '{}' });
    // One log record in protobuf: resource_logs { scope_logs { log_records { body { string_value } } } }.
    const nest = (field: number, inner: Buffer) =>
      Buffer.concat([Buffer.from([(field << 3) | 2, inner.length]), inner]);
    const record = nest(2, nest(5, nest(1, Buffer.from('hello'))));
    const request = nest(1, nest(2, record));
    const headers = { 'content-type': 'application/x-protobuf' };
    const asProtobuf = await ask('POST', '/v1/otlp/v1/logs', request, headers);
    expect(asProtobuf).toMatchObject({ status: 200, text: '' });
    expect(asProtobuf.headers.get('content-type')).toBe('application/x-protobuf');
    const loud = { 'content-type': 'Application/X-Protobuf; charset=utf-8' };
    expect(await ask('POST', '/v1/otlp/v1/logs', request, loud)).toMatchObject({ status: 200, text: '' });
    const packed = { ...headers, 'content-encoding': 'gzip' };
    expect((await ask('POST', '/v1/otlp/v1/logs', gzipSync(request), packed)).status).toBe(200);
    await expect.poll(counted, { timeout: 10_000 }).toBeGreaterThanOrEqual(before + 4);
  });

  test('what is no OTLP request is 400, and another content type 415', async () => {
    const headers = { 'content-type': 'application/x-protobuf' };
    for (const bytes of [Buffer.from('hello'), Buffer.from([0x0a, 0x7f, 1]), Buffer.from([0xff])])
      expect(await ask('POST', '/v1/otlp/v1/traces', bytes, headers)).toMatchObject({ status: 400 });
    expect((await ask('POST', '/v1/otlp/v1/traces', '[]')).status).toBe(400);
    const text = { 'content-type': 'text/plain' };
    expect((await ask('POST', '/v1/otlp/v1/traces', 'x', text)).status).toBe(415);
  });

  test('records with an Idempotency-Key are stored once', async () => {
    const headers = { 'idempotency-key': 'records-1' };
    const record = { type: 'event', name: 'told once' };
    for (let n = 0; n < 3; n += 1)
      expect((await ask('POST', '/telemetry/record', record, headers)).status).toBe(200);
    await ask('POST', '/telemetry/record', { type: 'event', name: 'told last' });
    const named = async (name: string) => {
      const found = await ask('GET', `/v1/telemetry/events?name=${encodeURIComponent(name)}&limit=100`);
      return (found.body['events'] as unknown[]).length;
    };
    await expect.poll(() => named('told last'), { timeout: 10_000 }).toBe(1);
    expect(await named('told once')).toBe(1);
  });
});

test('the cluster tells which processes answer', async () => {
  const { body } = await ask('GET', '/v1/cluster');
  expect(body['nats']).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+/) as string });
  const services = body['services'] as { service: string }[];
  expect(services.map(({ service }) => service)).toEqual(
    expect.arrayContaining(['trivet-queue', 'trivet-cache', 'trivet-telemetry', 'trivet-gateway']),
  );
});

describe('the page of the document', () => {
  test('is served with its files from here, under a policy that loads nothing from elsewhere', async () => {
    const page = await ask('GET', '/docs');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    expect(page.text).not.toMatch(/https?:\/\/(?!127)/);
    for (const file of page.text.matchAll(/(?:src|href)="\.?\/?([^"]+)"/g)) {
      const path = new URL(file[1] ?? '', `${gateway.http}/`).pathname;
      const served = await ask('GET', path);
      expect(served.status, path).toBe(200);
    }
  });

  test('sends what changes something by a session with the token of that session', async () => {
    const { text } = await ask('GET', '/docs/static/swagger-initializer.js');
    const source = /"?requestInterceptor"?: ?(async function [\s\S]*?\n})/.exec(text)?.[1] ?? '';
    type Sent = { method?: string; headers: Record<string, string> };
    // The page runs this text; so does this test, with a `fetch` of its own.
    const fetched = () => Promise.resolve(Response.json({ csrfToken: 'of the session' }));
    const intercept = runInNewContext(`(${source})`, { fetch: fetched }) as (request: Sent) => Promise<Sent>;
    const headersOf = async (request: Sent) => (await intercept(request)).headers;
    expect(await headersOf({ method: 'POST', headers: {} })).toEqual({ 'x-csrf-token': 'of the session' });
    expect(await headersOf({ method: 'GET', headers: {} })).toEqual({});
    expect(await headersOf({ headers: {} })).toEqual({});
    const bearer = { Authorization: 'Bearer of somebody' };
    expect(await headersOf({ method: 'POST', headers: { ...bearer } })).toEqual(bearer);
  });

  test('is nothing for strangers', async () => {
    for (const path of ['/docs', '/docs/json', '/docs/static/swagger-ui.css'])
      expect((await ask('GET', path, undefined, { authorization: '' })).status).toBe(401);
  });
});

test('who comes with a browser and no token is shown the way in, a program is refused', async () => {
  const visit = (path: string, headers: Record<string, string>) =>
    fetch(`${gateway.http}${path}`, { redirect: 'manual', headers });
  for (const path of ['/', '/docs']) {
    const page = await visit(path, { accept: 'text/html,*/*;q=0.8' });
    expect([page.status, page.headers.get('location')]).toEqual([303, '/sign-in?next=/docs']);
    expect((await visit(path, { accept: '*/*' })).status).toBe(401);
    expect((await visit(path, { accept: 'text/html', authorization: 'Bearer guessed' })).status).toBe(401);
  }
  expect((await visit('/v1/tokens', { accept: 'text/html' })).status).toBe(401);
});
