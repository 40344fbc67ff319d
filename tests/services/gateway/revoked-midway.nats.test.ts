import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Grant } from '#shared/protocol/identity-schemas.ts';
import { type ClosedCluster, adminToken, startClosedCluster } from './closed-cluster.ts';

// What a request gets whose key is revoked after its headers came in, and before it is answered.

let cluster: ClosedCluster;
beforeAll(async () => {
  cluster = await startClosedCluster(['queue-broker', 'cache-node']);
});
afterAll(() => cluster.stop());

const revoke = (id: string) => cluster.call('POST', `/v1/tokens/${id}/revoke`, adminToken);
const asAdmin = (path: string, body: object) => cluster.call('POST', path, adminToken, body);

/** A request whose headers are sent now, and whose body is sent by the returned function. */
async function begun(path: string, token: string, body: object): Promise<() => Promise<string>> {
  const { port, hostname } = new URL(cluster.http);
  const socket = connect(Number(port), hostname);
  const text = JSON.stringify(body);
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: x',
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(text)}`,
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  await pause(200);
  return async () => {
    socket.write(text);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return answer.toString();
  };
}

describe('a body that comes in after the key was revoked', () => {
  test.each<[string, string, Grant, object]>([
    ['makes no new key', '/v1/tokens', { role: 'admin' }, { name: 'successor', grants: [{ role: 'admin' }] }],
    ['makes no item', '/v1/queues/late/enqueue', { role: 'producer' }, { payload: 1 }],
  ])('%s, and the attempt is in the audit', async (_, path, grant, body) => {
    const key = await cluster.createToken(`begins ${path}`, [grant]);
    const send = await begun(path, key.token, body);
    await revoke(key.id);
    await pause(600);
    const answer = await send();
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toContain('"code":"unauthorized"');
    const keys = (await cluster.call('GET', '/v1/tokens', adminToken)).body['tokens'];
    expect(keys).not.toContainEqual(expect.objectContaining({ name: 'successor' }));
    const items = await cluster.call('GET', '/v1/queues/late/items', adminToken);
    expect(items.body['items']).toEqual([]);
    const audit = () => cluster.call('GET', `/v1/audit?who=k-${key.id}`, adminToken);
    await expect
      .poll(async () => (await audit()).body['entries'])
      .toMatchObject([{ result: 'unauthorized' }]);
  });

  test('is taken as ever while the key is good', async () => {
    const key = await cluster.createToken('slow', [{ role: 'producer' }]);
    const send = await begun('/v1/queues/slow/enqueue', key.token, { payload: 1 });
    await pause(600);
    expect(await send()).toMatch(/^HTTP\/1\.1 201 /);
  });
});

describe('who waits while his key is revoked', () => {
  test.each(['GET', 'POST'])(
    'is handed no item (%s), and it waits for somebody else uncharged',
    async (method) => {
      const queue = `waits-${method}`;
      await asAdmin(`/v1/queues/${queue}/configure`, { maxAttempts: 5 });
      await asAdmin(`/v1/queues/${queue}/enqueue`, { payload: 'first' });
      await asAdmin(`/v1/queues/${queue}/dequeue`, {});
      const key = await cluster.createToken('worker', [{ role: 'worker' }]);
      const waiting =
        method === 'GET'
          ? cluster.call('GET', `/queue/${queue}/dequeue?wait=20s`, key.token)
          : cluster.call('POST', `/v1/queues/${queue}/dequeue`, key.token, { wait: '20s' });
      await pause(600);
      await revoke(key.id);
      await asAdmin(`/v1/queues/${queue}/enqueue`, { payload: 'secret' });
      const answer = await waiting;
      expect(answer).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
      expect(answer.text).not.toContain('secret');
      const next = await asAdmin(`/v1/queues/${queue}/dequeue`, { wait: '5s' });
      expect(next.body).toMatchObject({ items: [{ payload: 'secret', attempt: 1 }] });
    },
  );

  test('does not see what became of an item', async () => {
    const { body } = await asAdmin('/v1/queues/results/enqueue', { payload: 'secret', delay: '1h' });
    const id = String(body['id']);
    const key = await cluster.createToken('viewer', [{ role: 'viewer' }]);
    const waits = [
      cluster.call('GET', `/v1/queues/results/items/${id}/result?wait=20s`, key.token),
      cluster.call('POST', '/v1/queues/results/result', key.token, { id, wait: '20s' }),
    ];
    await pause(600);
    await revoke(key.id);
    await asAdmin('/v1/queues/results/cancel', { id });
    for (const answer of await Promise.all(waits)) {
      expect(answer.status).toBe(401);
      expect(answer.text).not.toContain('secret');
    }
  });

  test('is not told the value that another caller brings', async () => {
    const load = (token: string) => cluster.call('POST', '/v1/cache/shop/load', token, { key: 'k' });
    const { loadToken } = (await load(adminToken)).body;
    const key = await cluster.createToken('reader', [{ role: 'producer' }]);
    const waiting = load(key.token);
    await pause(600);
    await revoke(key.id);
    await asAdmin('/v1/cache/shop/set', { key: 'k', value: 'secret', loadToken });
    const answer = await waiting;
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain('secret');
  });
});
