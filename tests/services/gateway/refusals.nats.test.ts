import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CacheRequest } from '#shared/protocol/cache-schemas.ts';
import { CompleteBody, FailBody, Problem, QueueRequest } from '#shared/protocol/http-schemas.ts';
import { Dequeue } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { badRequests } from '#tests/support/bad-requests.ts';
import { type Answered, type RunningGateway, startGateway } from './running-gateway.ts';

// What the gateway refuses by itself. No other service runs: whatever got through would be 503 here.

let gateway: RunningGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

const isProblem = validator(Problem);

function expectProblem(answer: Answered, status: number, code: string, field?: string): void {
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(isProblem(answer.body)).toMatchObject({ ok: true });
  expect({ status: answer.status, code: answer.body['code'], field: answer.body['field'] }).toEqual({
    status,
    code,
    field,
  });
  expect(answer.body['status']).toBe(status);
  expect(answer.body['requestId']).toBe(answer.headers.get('x-request-id'));
}

const routes: readonly (readonly [method: string, path: string])[] = [
  ['POST', '/cache/operation'],
  ['GET', '/cache/stats'],
  ['POST', '/queue/enqueue'],
  ['GET', '/queue/mails/dequeue'],
  ['POST', '/v1/queues/mails/dequeue'],
  ['POST', '/queue/mails/0-1/complete'],
  ['POST', '/queue/mails/0-1/fail'],
  ['GET', '/queue/stats'],
  ['GET', '/v1/queues/mails/items'],
  ['GET', '/v1/queues/mails/items/0-1'],
  ['POST', '/telemetry/record'],
  ['GET', '/telemetry/stats'],
  ['GET', '/metrics'],
  ['GET', '/openapi.json'],
];

describe('without a valid token', () => {
  const guarded: typeof routes = [...routes, ['GET', '/nowhere'], ['DELETE', '/queue/stats']];

  test.each(guarded)('%s %s is 401', async (method, path) => {
    for (const authorization of ['', 'Bearer wrong-token-of-the-tests', 'Basic dTpw']) {
      const body = method === 'POST' ? { body: '{' } : {};
      const answer = await gateway.call(method, path, { headers: { authorization }, ...body });
      expectProblem(answer, 401, 'unauthorized');
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    }
  });

  test('health is answered', async () => {
    const headers = { authorization: '' };
    expect((await gateway.call('GET', '/health/live', { headers })).body).toEqual({ status: 'live' });
    expect((await gateway.call('GET', '/health/ready', { headers })).status).toBe(503);
  });

  test('health is answered to those who look at the status alone, as load balancers do', async () => {
    const headers = { authorization: '' };
    const live = await gateway.call('HEAD', '/health/live', { headers });
    expect([live.status, live.text]).toEqual([200, '']);
    expect((await gateway.call('HEAD', '/health/ready', { headers })).status).toBe(503);
    expect((await gateway.call('HEAD', '/queue/stats', { headers })).status).toBe(401);
  });
});

test('readiness names what is missing', async () => {
  const answer = await gateway.call('GET', '/health/ready');
  expectProblem(answer, 503, 'unavailable');
  expect(answer.body['missing']).toBe('trivet-queue, trivet-cache, trivet-telemetry');
});

test('an unknown path is 404', async () => {
  expectProblem(await gateway.call('GET', '/queue'), 404, 'not_found');
  expectProblem(await gateway.call('POST', '/v2/anything', { body: {} }), 404, 'not_found');
});

test.each(routes)('%s %s: every other method is 405, and Allow names this one', async (method, path) => {
  for (const other of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY']) {
    const answer = await gateway.call(other, path);
    if (answer.headers.get('allow') === null) continue;
    expectProblem(answer, 405, 'invalid_request');
    expect(answer.headers.get('allow')?.split(', ')).toContain(method);
  }
});

test('HEAD never runs a GET, which would lease items for nobody', async () => {
  expect((await gateway.call('HEAD', '/queue/mails/dequeue')).status).toBe(405);
});

const bodies = [
  { path: '/queue/enqueue', schema: QueueRequest, valid: { queue_name: 'mails', payload: 1 } },
  { path: '/cache/operation', schema: CacheRequest, valid: { operation: 'get', key: 'k' } },
  { path: '/queue/mails/0-1/complete', schema: CompleteBody, valid: { token: 1 } },
  { path: '/queue/mails/0-1/fail', schema: FailBody, valid: { token: 1, error: { message: 'm' } } },
  { path: '/v1/queues/mails/dequeue', schema: Dequeue, valid: {} },
];

describe.each(bodies)('POST $path', ({ path, schema, valid }) => {
  test.each([...badRequests(schema, valid)])(
    '$why: 400, and the problem names $field',
    async ({ body, field }) => {
      expectProblem(await gateway.call('POST', path, { body }), 400, 'invalid_request', field);
    },
  );

  test('a body that is no JSON is 400', async () => {
    for (const body of ['{', 'hello', '{"a":1}x', Buffer.from([0x22, 0xff, 0x22])])
      expectProblem(await gateway.call('POST', path, { body }), 400, 'invalid_request', 'body');
  });

  test('a body that is nested too deeply is 400', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    const body = `${JSON.stringify(valid).slice(0, -1)}${Object.keys(valid).length > 0 ? ',' : ''}"payload":${deep}}`;
    expectProblem(await gateway.call('POST', path, { body }), 400, 'invalid_request', 'body');
  });

  test('another content type is 415', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/msgpack',
      'nonsense',
    ]) {
      const answer = await gateway.call('POST', path, { body: valid, headers: { 'content-type': type } });
      expectProblem(answer, 415, 'invalid_request', 'Content-Type');
    }
  });

  test('a query parameter that is not known is 400', async () => {
    expectProblem(await gateway.call('POST', `${path}?x=1`, { body: valid }), 400, 'invalid_request', 'x');
  });

  test('a body beyond the limit is 413', async () => {
    const body = { ...valid, filler: 'x'.repeat(1_200_000) };
    expectProblem(await gateway.call('POST', path, { body }), 413, 'payload_too_large');
  });
});

test.each([
  ['/queue/mails/dequeue?max=0', 'max'],
  ['/queue/mails/dequeue?max=1001', 'max'],
  ['/queue/mails/dequeue?max=two', 'max'],
  ['/queue/mails/dequeue?max=1.5', 'max'],
  ['/queue/mails/dequeue?max=', 'max'],
  ['/queue/mails/dequeue?max=1&max=2', 'max'],
  ['/queue/mails/dequeue?wait=soon', 'wait'],
  ['/queue/mails/dequeue?wait=-1', 'wait'],
  ['/queue/mails/dequeue?wait=61s', 'wait'],
  ['/queue/mails/dequeue?lease=1w', 'lease'],
  ['/queue/mails/dequeue?token=secret', 'token'],
  ['/queue/ma.ls/dequeue', 'queue_name'],
  ['/queue/ma%20ls/dequeue', 'queue_name'],
  ['/queue/%2A/dequeue', 'queue_name'],
  [`/queue/${'q'.repeat(65)}/dequeue`, 'queue_name'],
  [`/queue/${'q'.repeat(1_000)}/dequeue`, 'queue_name'],
  ['/v1/queues/mails/items?limit=501', 'limit'],
  ['/v1/queues/mails/items?state=asleep', 'state'],
  ['/v1/queues/mails/items/not-an-id-', 'item_id'],
  ['/queue/stats?since=1', 'since'],
  ['/health/live?x=1', 'x'],
])('GET %s is 400, and the problem names %s', async (path, field) => {
  expectProblem(await gateway.call('GET', path), 400, 'invalid_request', field);
});

test('a path that cannot be decoded is 400', async () => {
  expectProblem(await gateway.call('GET', '/queue/%zz/dequeue'), 400, 'invalid_request');
});

test('a body without a content type is read as JSON', async () => {
  const answer = await raw(
    [
      'POST /queue/enqueue HTTP/1.1',
      'Host: x',
      'Authorization: Bearer token-of-the-gateway-tests',
      'Connection: close',
      'Content-Length: 2',
    ],
    '{}',
  );
  expect(answer).toContain('queue_name is missing');
});

test('what is not HTTP gets a problem and the connection is closed', async () => {
  expect(await raw(['hello'], '')).toMatch(/^HTTP\/1\.1 400 .*"code":"invalid_request"/s);
});

test('headers beyond the limit are 431', async () => {
  const answer = await raw(['GET /queue/stats HTTP/1.1', 'Host: x', `X-Filler: ${'x'.repeat(70_000)}`], '');
  expect(answer).toMatch(/^HTTP\/1\.1 431 .*"code":"invalid_request"/s);
});

test('every answer carries the security headers and no name of a server', async () => {
  for (const [method, path] of [
    ['GET', '/health/live'],
    ['GET', '/nowhere'],
    ['GET', '/metrics'],
  ] as const) {
    const { headers } = await gateway.call(method, path, {
      headers: { origin: 'https://elsewhere.example' },
    });
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('cache-control')).toBe('no-store');
    for (const absent of ['server', 'x-powered-by', 'access-control-allow-origin', 'set-cookie'])
      expect(headers.get(absent), absent).toBeNull();
  }
});

test("the caller's request id is kept, and one that could not stand in a log line is replaced", async () => {
  const kept = await gateway.call('GET', '/nowhere', { headers: { 'x-request-id': 'job-7:step_2' } });
  expect(kept.headers.get('x-request-id')).toBe('job-7:step_2');
  expect(kept.body['requestId']).toBe('job-7:step_2');
  for (const bad of ['two words', 'x'.repeat(129), '"quoted"']) {
    const replaced = await gateway.call('GET', '/nowhere', { headers: { 'x-request-id': bad } });
    expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  }
});

test('a service that is away is 503, at once', async () => {
  const enqueue = { body: { queue_name: 'mails', payload: 1 } };
  expectProblem(await gateway.call('POST', '/queue/enqueue', enqueue), 503, 'unavailable');
  expectProblem(await gateway.call('GET', '/queue/mails/dequeue?wait=60s'), 503, 'unavailable');
  const set = { body: { operation: 'set', key: 'k', value: 1 } };
  expectProblem(await gateway.call('POST', '/cache/operation', set), 503, 'unavailable');
  for (const path of ['/cache/stats', '/queue/stats', '/telemetry/stats'])
    expectProblem(await gateway.call('GET', path), 503, 'unavailable');
  const record = { body: [{ type: 'log', message: 'm' }] };
  expectProblem(await gateway.call('POST', '/telemetry/record', record), 503, 'unavailable');
});

test('metrics come from the gateway alone while no collector answers', async () => {
  const answer = await gateway.call('GET', '/metrics');
  expect(answer.headers.get('content-type')).toMatch(/^text\/plain/);
  expect(answer.text).toMatch(
    /^trivet_gateway_http_request_duration_seconds_count\{method="GET",route="none",status="404"\} [1-9]/m,
  );
});

test('whatever is sent, the answer is a coded one and the gateway lives on', async () => {
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH');
  const segment = fc.oneof(
    fc.constantFrom('queue', 'cache', 'v1', 'queues', 'items', 'dequeue', 'enqueue', 'operation', 'record'),
    fc.constantFrom(
      'telemetry',
      'mails',
      '0-1',
      'complete',
      'fail',
      'stats',
      '%00',
      '..',
      '%2F',
      '__proto__',
    ),
    fc.string({ maxLength: 40 }).map((text) => encodeURIComponent(text.toWellFormed())),
  );
  const path = fc.array(segment, { maxLength: 6 }).map((segments) => `/${segments.join('/')}`);
  const known = fc.constantFrom(...bodies.map((one) => one.path), '/telemetry/record');
  const query = fc
    .option(fc.webQueryParameters(), { nil: '' })
    .map((text) => (text === '' ? '' : `?${text}`));
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 500 }),
    fc.json().map((text) => Buffer.from(text)),
  );
  await fc.assert(
    fc.asyncProperty(method, fc.oneof(path, known), query, body, async (verb, at, search, sent) => {
      const answer = await gateway.call(verb, `${at}${search}`, verb === 'GET' ? {} : { body: sent });
      if (answer.status === 200) return;
      expect(answer.status).not.toBe(500);
      expect(isProblem(answer.body)).toMatchObject({ ok: true });
    }),
    { numRuns: 200 },
  );
  expect((await gateway.call('GET', '/health/live')).status).toBe(200);
});

/** Bytes as they are, and all that comes back. */
async function raw(lines: readonly string[], body: string): Promise<string> {
  const { hostname, port } = new URL(gateway.http);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
  return text(socket);
}
