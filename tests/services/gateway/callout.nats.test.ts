import { jetstream } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect as connectTrivet } from '#shared/client/client.ts';
import { encode } from '#shared/protocol/encoding.ts';
import type { Grant } from '#shared/protocol/identity-schemas.ts';
import { eavesdropping, everySubject, internals, roles } from './callout-tables.ts';
import { type ClosedCluster, adminToken, startClosedCluster } from './closed-cluster.ts';
import { publishes, subscribes } from './refused-by-nats.ts';

// A cluster where everybody needs a token, seen from plain NATS clients: what each role may do, and what is refused.

const jwtSecret = 'the secret that signs the JWTs of these tests';
let cluster: ClosedCluster;
beforeAll(async () => {
  cluster = await startClosedCluster(['auth-callout', 'auth-callout', 'queue-broker', 'cache-node'], {
    TRIVET_JWT_KEY: jwtSecret,
    TRIVET_JWT_ALGORITHMS: 'HS256',
    TRIVET_JWT_ISSUER: 'https://issuer.example',
    TRIVET_JWT_AUDIENCE: 'trivet',
  });
});
afterAll(() => cluster.stop());

const jwt = (sub: string, grants: readonly Grant[], seconds = 3_600): Promise<string> =>
  new SignJWT({ trivet: grants })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('https://issuer.example')
    .setAudience('trivet')
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1_000) + seconds)
    .sign(Buffer.from(jwtSecret));

test.each(roles)(
  'a plain client with the key of a $role may do what it may, and nothing else',
  async ({ role, grant, open, events }) => {
    const { id, token } = await cluster.createToken(`table ${role}`, [grant]);
    const client = await cluster.connect(token);
    const found: string[] = [];
    for (const subject of [...everySubject, ...internals])
      if (await publishes(client, subject)) found.push(subject);
    expect(found).toEqual(open);
    for (const subject of eavesdropping)
      expect([subject, await subscribes(client, subject)]).toEqual([subject, false]);
    expect(await subscribes(client, `_INBOX.k-${id}.mine`)).toBe(true);
    expect(await subscribes(client, 'trivet.events.queue.emails.*')).toBe(events);
  },
);

describe('an outsider', () => {
  test.each([
    ['no credentials', {}],
    ['the user of the open configuration', { user: 'local', pass: '' }],
    ['a made-up token', { token: 'made-up-token-of-a-stranger' }],
    ['a made-up key', { token: `trv_${'0'.repeat(16)}_${'A'.repeat(43)}` }],
    ['the user of the services and a guessed password', { user: 'trivet-service', pass: 'guessed' }],
    ['the user of the callout and a guessed password', { user: 'trivet-callout', pass: 'guessed' }],
  ])('with %s is not let in', async (_, options) => {
    const attempt = connect({ servers: cluster.nats.url, reconnect: false, ...options });
    await expect(attempt).rejects.toThrow(/authorization/i);
  });

  test('with an unsigned JWT, one of another key or one that has expired is not let in', async () => {
    const [head = '', body = ''] = (await jwt('ada', [{ role: 'admin' }])).split('.');
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    for (const token of [
      `${none}.${body}.`,
      `${head}.${body}.AAAA`,
      await jwt('ada', [{ role: 'admin' }], -120),
      // Good, but for whom it would be taken in the audit.
      await jwt('local admin', [{ role: 'admin' }]),
    ])
      await expect(connect({ servers: cluster.nats.url, reconnect: false, token })).rejects.toThrow(
        /authorization/i,
      );
  });

  test('gets nothing but health and the sign-in page over HTTP', async () => {
    const document = await cluster.call('GET', '/openapi.json', adminToken);
    const paths = Object.entries(document.body['paths'] as Record<string, Record<string, unknown>>);
    const open: string[] = [];
    for (const [path, methods] of paths) {
      for (const method of Object.keys(methods)) {
        const filled = path.replaceAll(/\{[a-z_]+\}/g, 'x');
        const { status } = await cluster.call(
          method.toUpperCase(),
          filled,
          null,
          method === 'get' ? undefined : {},
        );
        if (status !== 401) open.push(path);
      }
    }
    expect(open.toSorted()).toEqual(['/health/live', '/health/ready']);
    for (const path of ['/docs', '/docs/json', '/unknown', '/v1/tokens', '/v1/audit'])
      expect([path, (await cluster.call('GET', path, null)).status]).toEqual([path, 401]);
    expect((await cluster.call('GET', '/sign-in', null)).status).toBe(200);
  });
});

test('the answers of requests, PubAcks and live events arrive', async () => {
  const producer = await cluster.connect(
    (await cluster.createToken('p', [{ role: 'producer', queues: ['arrive'] }])).token,
  );
  const worker = await cluster.connect(
    (await cluster.createToken('w', [{ role: 'worker', queues: ['arrive'] }])).token,
  );
  const heard: string[] = [];
  worker.subscribe('trivet.events.queue.arrive.*', {
    callback: (_error, { subject }) => void heard.push(subject),
  });
  await worker.flush();
  const added = (await producer.request('trivet.queue.arrive.enqueue', '{"n":1}', { timeout: 5_000 })).json<{
    id: string;
  }>();
  expect((await jetstream(producer).publish('trivet.jobs.arrive', '{"n":2}')).stream).toBe('TRIVET_INGEST');
  const leased = (
    await worker.request('trivet.queue.arrive.dequeue', '{"max":1,"wait":"5s"}', { timeout: 8_000 })
  ).json<{
    items: { id: string; token: number }[];
  }>();
  expect(leased.items[0]?.id).toBe(added.id);
  const done = await worker.request(
    'trivet.queue.arrive.complete',
    JSON.stringify({ id: added.id, token: leased.items[0]?.token }),
  );
  expect(done.json()).toMatchObject({ state: 'done' });
  await expect.poll(() => heard).toContain('trivet.events.queue.arrive.done');
});

test('items that were leased for a client that is gone go back uncharged', async () => {
  const { token } = await cluster.createToken('vanishing', [{ role: 'worker', queues: ['gone'] }]);
  const producer = await cluster.connect(adminToken);
  const client = await cluster.connect(token);
  client.publish('trivet.queue.gone.dequeue', '{"wait":"20s"}', { reply: '_INBOX.nobody.listens' });
  await client.flush();
  await client.close();
  const { id } = (await producer.request('trivet.queue.gone.enqueue', '{}', { timeout: 5_000 })).json<{
    id: string;
  }>();
  await expect
    .poll(
      async () =>
        (await producer.request('trivet.queue.gone.get', JSON.stringify({ id }))).json<{ state: string }>()
          .state,
      {
        timeout: 10_000,
      },
    )
    .toBe('pending');
});

test('a JWT is as good as a key, and its connection ends with it', async () => {
  const token = await jwt('ada@example.org', [{ role: 'viewer' }], 5);
  const client = await cluster.connect(token);
  expect((await client.request('trivet.queue.list', '{}', { timeout: 5_000 })).json()).toHaveProperty(
    'queues',
  );
  expect(await publishes(client, 'trivet.queue.emails.enqueue')).toBe(false);
  await client.closed();
});

describe('a token that is revoked', () => {
  test('is refused within a second over HTTP, and its NATS connections end and do not come back', async () => {
    const { id, token } = await cluster.createToken('revoked soon', [{ role: 'viewer' }]);
    const clients = await Promise.all([cluster.connect(token), cluster.connect(token)]);
    expect((await cluster.call('GET', '/v1/session', token)).status).toBe(200);
    const other = await cluster.start('gateway');
    const ask = () => fetch(`${other.http}/v1/session`, { headers: { authorization: `Bearer ${token}` } });
    expect((await ask()).status).toBe(200);
    const started = performance.now();
    expect((await cluster.call('POST', `/v1/tokens/${id}/revoke`, adminToken)).status).toBe(200);
    expect((await cluster.call('GET', '/v1/session', token)).status).toBe(401);
    await expect.poll(async () => (await ask()).status, { interval: 20, timeout: 1_000 }).toBe(401);
    await Promise.all(clients.map((client) => client.closed()));
    expect(performance.now() - started).toBeLessThan(5_000);
    await expect(cluster.connect(token)).rejects.toThrow(/authorization/i);
  });

  test('by its subject ends the JWTs that were issued before, and lets in those issued later', async () => {
    const token = await jwt('carol', [{ role: 'viewer' }]);
    const client = await cluster.connect(token);
    expect((await cluster.call('GET', '/v1/session', token)).status).toBe(200);
    await cluster.call('POST', '/v1/tokens/revoke-subject', adminToken, { subject: 'carol' });
    expect((await cluster.call('GET', '/v1/session', token)).status).toBe(401);
    await client.closed();
    await expect
      .poll(
        async () =>
          (await cluster.call('GET', '/v1/session', await jwt('carol', [{ role: 'viewer' }]))).status,
        { timeout: 5_000 },
      )
      .toBe(200);
  });

  test('because it was rotated goes on until the overlap is over, and its successor at once', async () => {
    const old = await cluster.createToken('rotated', [{ role: 'viewer' }]);
    const client = await cluster.connect(old.token);
    const rotated = await cluster.call('POST', `/v1/tokens/${old.id}/rotate`, adminToken, { overlap: '2s' });
    const next = rotated.body as { token: string; name: string };
    expect(next.name).toBe('rotated');
    for (const token of [old.token, next.token])
      expect((await cluster.call('GET', '/v1/session', token)).status).toBe(200);
    await client.closed();
    expect((await cluster.call('GET', '/v1/session', old.token)).status).toBe(401);
    expect((await cluster.call('GET', '/v1/session', next.token)).status).toBe(200);
    const again = await cluster.call('POST', `/v1/tokens/${old.id}/rotate`, adminToken, {});
    expect(again.body['code']).toBe('wrong_state');
  });
});

describe('administration over NATS', () => {
  test('goes through the principal’s own subject, which the client finds by itself, and is in the audit with its name', async () => {
    const { id, token } = await cluster.createToken('night shift', [{ role: 'operator' }]);
    const trivet = await connectTrivet({ url: cluster.nats.url, token });
    expect(trivet.subjects.queue('admin', 'pause')).toBe(`trivet.as.k-${id}.queue.admin.pause`);
    const reply = await trivet.nats.connection.request(trivet.subjects.queue('admin', 'pause'), '{}', {
      timeout: 5_000,
    });
    expect(reply.headers?.get('Nats-Service-Error') ?? '').toBe('');
    await trivet.close();
    const audit = await cluster.call('GET', '/v1/audit?operation=queue.pause', adminToken);
    expect(audit.body['entries']).toMatchObject([
      { who: 'night shift', id: `k-${id}`, via: 'nats', on: 'queue admin', result: 'ok' },
    ]);
  });

  test('under somebody else’s name is refused by nats-server, and that is in the audit, too', async () => {
    const { id } = await cluster.createToken('the victim', [{ role: 'operator' }]);
    const attacker = await cluster.createToken('the attacker', [{ role: 'operator' }]);
    const client = await cluster.connect(attacker.token);
    const subject = `trivet.as.k-${id}.queue.admin.purge`;
    expect(await publishes(client, subject)).toBe(false);
    await expect
      .poll(
        async () =>
          (await cluster.call('GET', '/v1/audit?operation=nats.publish&who=the%20attacker', adminToken)).body[
            'entries'
          ],
        {
          timeout: 10_000,
        },
      )
      .toMatchObject([
        { who: 'the attacker', on: subject, result: 'forbidden', why: 'refused by nats-server' },
      ]);
  });

  test('narrowed to a queue holds for that queue alone', async () => {
    const { id, token } = await cluster.createToken('one queue', [{ role: 'operator', queues: ['mine'] }]);
    const client = await cluster.connect(token);
    expect(
      (await client.request(`trivet.as.k-${id}.queue.mine.pause`, '{}', { timeout: 5_000 })).json(),
    ).toHaveProperty('queue');
    expect(await publishes(client, `trivet.as.k-${id}.queue.yours.pause`)).toBe(false);
  });
});

test('a grant for one queue reaches no children in another, over HTTP and over NATS', async () => {
  const flow = async () =>
    (
      await cluster.call('POST', '/v1/queues/parents/enqueue-flow', adminToken, {
        payload: 1,
        children: [{ queue: 'elsewhere', payload: 2 }],
      })
    ).body as { id: string };
  const { id: parent } = await flow();
  const { id, token } = await cluster.createToken('of parents', [{ role: 'operator', queues: ['parents'] }]);
  const cancel = { id: parent, children: true };
  const refused = await cluster.call('POST', '/v1/queues/parents/cancel', token, cancel);
  expect([refused.status, refused.body['code']]).toEqual([403, 'forbidden']);
  for (const [method, path] of [
    ['GET', `items/${parent}/children`],
    ['POST', 'children'],
  ] as const) {
    const body = method === 'GET' ? undefined : { id: parent };
    expect((await cluster.call(method, `/v1/queues/parents/${path}`, token, body)).status, path).toBe(403);
  }
  const client = await cluster.connect(token);
  expect(await publishes(client, 'trivet.queue.parents.children')).toBe(false);
  const asked = (body: string | Uint8Array, contentType = 'application/json') => {
    const all = headers();
    all.set('Content-Type', contentType);
    return client.request(`trivet.as.k-${id}.queue.parents.cancel`, body, { timeout: 5_000, headers: all });
  };
  const packed = encode(cancel, 'application/msgpack');
  for (const reply of [
    await asked(JSON.stringify(cancel)),
    await asked(packed, 'application/msgpack'),
    await asked('{"children":'),
  ])
    expect(reply.string()).toContain('forbidden');
  const children = await cluster.call('GET', `/v1/queues/parents/items/${parent}/children`, adminToken);
  expect(children.body['items']).toMatchObject([{ queue: 'elsewhere', state: 'pending' }]);
  // One's own queue is still one's own.
  const alone = await cluster.call('POST', '/v1/queues/parents/cancel', token, { id: parent });
  expect(alone.status).toBe(200);
  const everywhere = await cluster.createToken('of all', [{ role: 'operator' }]);
  const second = await flow();
  const both = await cluster.call('POST', '/v1/queues/parents/cancel', everywhere.token, {
    id: second.id,
    children: true,
  });
  expect(both.status).toBe(200);
});

test('who was not let in is in the audit, without what was shown', async () => {
  const secret = `trv_${'1'.repeat(16)}_${'B'.repeat(43)}`;
  await expect(cluster.connect(secret)).rejects.toThrow(/authorization/i);
  await expect
    .poll(
      async () => (await cluster.call('GET', '/v1/audit?operation=nats.connect', adminToken)).body['entries'],
      { timeout: 5_000 },
    )
    .toMatchObject(
      expect.arrayContaining([expect.objectContaining({ who: 'nobody', result: 'unauthorized' })]),
    );
  const lines = await cluster.call('GET', '/v1/audit/lines', adminToken);
  expect(lines.text).not.toContain('B'.repeat(43));
  expect(lines.text).not.toContain(adminToken);
});

test('a viewer cannot change anything, over HTTP either', async () => {
  const { token } = await cluster.createToken('looks only', [{ role: 'viewer' }]);
  const document = await cluster.call('GET', '/openapi.json', token);
  const schemas = Object.entries(document.body['paths'] as Record<string, Record<string, unknown>>);
  const looking = /(get|exists|list|stats|result|children|logs|workers|describe|missed|keys)/;
  const done: string[] = [];
  for (const [path, methods] of schemas)
    for (const method of Object.keys(methods).filter((one) => one !== 'get')) {
      const filled = path
        .replaceAll('{item_id}', '0-1')
        .replaceAll('{token_id}', '0'.repeat(16))
        .replaceAll(/\{[a-z_]+\}/g, 'x');
      const { status } = await cluster.call(method.toUpperCase(), filled, token, {});
      // 400: the form is looked at before the right. What is well-formed and was let through is what counts.
      if (status < 400 && !looking.test(path)) done.push(`${method} ${path}`);
    }
  expect(done).toEqual([]);
  const attempts: [string, string, object][] = [
    ['POST', '/queue/enqueue', { queue_name: 'x', payload: 1 }],
    ['POST', '/cache/operation', { operation: 'set', key: 'k', value: 1 }],
    ['POST', '/cache/operation', { operation: 'clear' }],
    ['POST', '/v1/queues/x/pause', {}],
    ['POST', '/v1/queues/x/purge', { all: true }],
    ['POST', '/telemetry/record', { type: 'event', name: 'x' }],
    ['POST', '/v1/tokens', { name: 'x', grants: [{ role: 'admin' }] }],
  ];
  for (const [method, path, body] of attempts)
    expect([path, (await cluster.call(method, path, token, body)).status]).toEqual([path, 403]);
});
