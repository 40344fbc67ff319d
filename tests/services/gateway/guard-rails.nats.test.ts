import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type DetailedPeerCertificate, connect as connectTls } from 'node:tls';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningGateway, startGateway, token } from './running-gateway.ts';

// What stands before every endpoint: limits of rate, time and size, pages of other origins, TLS.

const page = 'https://shop.example';
let gateway: RunningGateway;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-rails-'));
  await writeFile(join(folder, 'token'), `${token}\n`, { mode: 0o600 });
  gateway = await startGateway({
    TRIVET_TOKEN: '',
    TRIVET_TOKEN_FILE: join(folder, 'token'),
    TRIVET_HTTP_RECEIVE_TIMEOUT: '2s',
    TRIVET_HTTP_CORS_ORIGINS: `${page}, http://localhost:3000`,
    TRIVET_HTTP_RATE: '60/2s',
    TRIVET_HTTP_RATE_REFUSED: '20/10m',
    TRIVET_HTTP_TRUST_PROXY: '127.0.0.0/8',
  });
});
afterAll(async () => {
  await gateway.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('pages of other origins', () => {
  const preflight = (origin: string) =>
    gateway.call('OPTIONS', '/queue/enqueue', {
      headers: {
        authorization: '',
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    });

  test('a page of an origin that is allowed may ask, without a token for the asking alone', async () => {
    const answer = await preflight(page);
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-origin')).toBe(page);
    expect(answer.headers.get('access-control-allow-headers')).toContain('Authorization');
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
    const asked = await gateway.call('GET', '/health/live', { headers: { origin: page } });
    expect(asked.headers.get('access-control-allow-origin')).toBe(page);
    expect(asked.headers.get('vary')).toContain('Origin');
  });

  test.each(['https://elsewhere.example', 'null', `${page}.elsewhere.example`])(
    'a page of %s may not',
    async (origin) => {
      expect((await preflight(origin)).headers.get('access-control-allow-origin')).toBeNull();
      const asked = await gateway.call('GET', '/health/live', { headers: { origin } });
      expect(asked.headers.get('access-control-allow-origin')).toBeNull();
    },
  );
});

test('every answer tells a browser to do nothing with it', async () => {
  for (const path of ['/health/live', '/nowhere', '/queue/%zz/dequeue']) {
    const { headers } = await gateway.call('GET', path);
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
    );
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
    expect(headers.get('strict-transport-security')).toBeNull();
  }
});

test('headers that come too slowly end with 408, and so does a body', async () => {
  const { hostname, port } = new URL(gateway.http);
  const dribble = async (head: string): Promise<string> => {
    const socket = connect(Number(port), hostname);
    socket.write(head);
    const drops = setInterval(() => socket.write('a'), 100);
    socket.on('error', () => undefined).on('close', () => clearInterval(drops));
    return text(socket);
  };
  const startedMs = performance.now();
  const [headers, body] = await Promise.all([
    dribble('GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: '),
    dribble(
      `POST /queue/enqueue HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 100000\r\n\r\n`,
    ),
  ]);
  expect(headers).toMatch(/^HTTP\/1\.1 408 .*"code":"invalid_request"/s);
  expect(body).toMatch(/^HTTP\/1\.1 408 /);
  expect(performance.now() - startedMs).toBeGreaterThan(1_900);
  expect((await gateway.call('GET', '/health/live')).status).toBe(200);
});

describe('packed bodies', () => {
  const packed = (body: Uint8Array, encoding = 'gzip') =>
    gateway.call('POST', '/queue/enqueue', { body, headers: { 'content-encoding': encoding } });

  test('are unpacked', async () => {
    // Nobody serves queues here: what came as far as NATS was read.
    const body = gzipSync(JSON.stringify({ queue_name: 'mails', payload: 1 }));
    for (const encoding of ['gzip', 'GZIP'])
      expect(await packed(body, encoding)).toMatchObject({ status: 503, body: { code: 'unavailable' } });
  });

  test('that unpack to more than a body may have are 413', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1_048_576, 0x20));
    expect(bomb.length).toBeLessThan(100_000);
    expect(await packed(bomb)).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
  });

  test('that are not what they are called are 400, and an unknown packing is 415', async () => {
    const field = { code: 'invalid_request', field: 'Content-Encoding' };
    expect(await packed(Buffer.from('not gzip'))).toMatchObject({ status: 400, body: field });
    expect(await packed(Buffer.from('{}'), 'compress')).toMatchObject({ status: 415, body: field });
  });
});

test('a long answer is packed for whoever takes it so, and a short one is not', async () => {
  const ask = (path: string) =>
    new Promise<{ encoding: string | undefined; body: Buffer }>((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}`, 'accept-encoding': 'gzip' };
      httpRequest(`${gateway.http}${path}`, { headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () =>
          resolve({ encoding: response.headers['content-encoding'], body: Buffer.concat(parts) }),
        );
      })
        .on('error', reject)
        .end();
    });
  const long = await ask('/openapi.json');
  expect(long.encoding).toBe('gzip');
  expect(JSON.parse(gunzipSync(long.body).toString())).toHaveProperty('openapi');
  expect((await ask('/health/live')).encoding).toBeUndefined();
});

describe('rates', () => {
  test('a principal that asks too often is 429 for a while, and then heard again', async () => {
    const answers = await Promise.all(Array.from({ length: 120 }, () => gateway.call('GET', '/health/live')));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(60);
    expect(refused[0]?.body).toMatchObject({ code: 'rate_limited' });
    expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0);
    await expect
      .poll(async () => (await gateway.call('GET', '/health/live')).status, {
        timeout: 20_000,
        interval: 500,
      })
      .toBe(200);
  });

  test('an address that guesses tokens is no longer heard, while others and the known ones are', async () => {
    const guess = (from: string) =>
      gateway.call('GET', '/queue/stats', {
        headers: { authorization: 'Bearer wrong-token-of-a-stranger', 'x-forwarded-for': from },
      });
    const answers = [];
    for (let n = 0; n < 25; n += 1) answers.push((await guess('203.0.113.7')).status);
    expect(answers).toEqual([...Array<number>(20).fill(401), ...Array<number>(5).fill(429)]);
    expect((await guess('203.0.113.8')).status).toBe(401);
    const headers = { 'x-forwarded-for': '203.0.113.7' };
    expect((await gateway.call('GET', '/health/ready', { headers })).status).toBe(503);
    expect((await gateway.call('GET', '/queue/stats', { headers })).body['code']).toBe('unavailable');
  });
});

test('HTTPS serves the certificate of its files, and the new one once they are changed', async () => {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  const install = async (name: string): Promise<void> => {
    await copyFile(`tests/fixtures/gateway/${name}.key.pem`, files.key);
    await copyFile(`tests/fixtures/gateway/${name}.cert.pem`, files.cert);
  };
  await install('first');
  const secure = await startGateway({ TRIVET_HTTP_TLS_CERT: files.cert, TRIVET_HTTP_TLS_KEY: files.key });
  try {
    expect(secure.http).toMatch(/^https:/);
    const { hostname, port } = new URL(secure.http);
    const visit = () =>
      new Promise<{ name: unknown; answer: string }>((resolve, reject) => {
        const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
          const certificate: DetailedPeerCertificate = socket.getPeerCertificate(true);
          socket.end('GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
          void text(socket).then((answer) => resolve({ name: certificate.subject.CN, answer }));
        }).on('error', reject);
      });
    const first = await visit();
    expect(first.name).toBe('first');
    expect(first.answer).toMatch(/^HTTP\/1\.1 200 [^]*strict-transport-security: max-age=31536000/i);
    // A key that is not the certificate's, as between two writes, leaves the old pair in place.
    await copyFile('tests/fixtures/gateway/second.key.pem', files.key);
    await expect
      .poll(() => secure.process.output(), { timeout: 20_000 })
      .toContain('the new certificate cannot be used');
    expect((await visit()).name).toBe('first');
    await install('second');
    await expect.poll(async () => (await visit()).name, { timeout: 20_000 }).toBe('second');
  } finally {
    await secure.stop();
  }
});
