import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Grant } from '#shared/protocol/identity-schemas.ts';
import { type ClosedCluster, adminToken, startClosedCluster } from './closed-cluster.ts';
import { publishes } from './refused-by-nats.ts';

let cluster: ClosedCluster;
beforeAll(async () => {
  cluster = await startClosedCluster(['auth-callout', 'queue-broker', 'cache-node']);
});
afterAll(() => cluster.stop());

describe('what is one’s own', () => {
  test('is what one has enqueued through the gateway, and nobody else’s is shown, changed or even there', async () => {
    const grants: Grant[] = [{ role: 'operator', own: true, queues: ['orders'] }];
    const ada = await cluster.createToken('ada', grants);
    const bob = await cluster.createToken('bob', grants);
    const enqueue = async (token: string, headers = {}) =>
      cluster.call('POST', '/queue/enqueue', token, { queue_name: 'orders', payload: { n: 1 }, headers });
    const mine = String((await enqueue(ada.token)).body['id']);
    const theirs = String((await enqueue(bob.token)).body['id']);
    const item = (id: string) => `/v1/queues/orders/items/${id}`;
    expect((await cluster.call('GET', item(mine), ada.token)).body).toMatchObject({ id: mine, owner: 'ada' });
    const refused = await cluster.call('GET', item(theirs), ada.token);
    const absent = await cluster.call('GET', item('0-zzzz'), ada.token);
    expect([refused.status, absent.status]).toEqual([403, 403]);
    expect(refused.body['detail']).toBe(absent.body['detail']);
    for (const word of ['cancel', 'reprioritize', 'update', 'purge'])
      expect(
        (
          await cluster.call('POST', `/v1/queues/orders/${word}`, ada.token, {
            id: theirs,
            ...(word === 'reprioritize' ? { priority: 'low' } : {}),
          })
        ).status,
        word,
      ).toBe(403);
    expect((await cluster.call('GET', '/v1/queues/orders/items', ada.token)).status).toBe(403);
    expect((await cluster.call('GET', '/v1/queues/orders/items?owner=bob', ada.token)).status).toBe(403);
    const listed = await cluster.call('GET', '/v1/queues/orders/items?owner=ada', ada.token);
    expect((listed.body['items'] as { id: string }[]).map(({ id }) => id)).toEqual([mine]);
    expect((await cluster.call('POST', '/v1/queues/orders/cancel', ada.token, { id: mine })).status).toBe(
      200,
    );
    expect(
      (await cluster.call('POST', '/v1/queues/orders/cancel', ada.token, { state: 'pending' })).status,
    ).toBe(403);
    expect((await cluster.call('GET', '/queue/orders/dequeue', ada.token)).status).toBe(403);
    expect((await enqueue(ada.token, { 'Trivet-Owner': 'bob' })).body).not.toMatchObject({ owner: 'bob' });
    expect((await enqueue(ada.token, { 'trivet-owner': 'bob' })).status).toBe(400);
  });

  test('is a batch and a whole flow as well, down to the last child, and neither can name another owner', async () => {
    const grants: Grant[] = [{ role: 'operator', own: true }];
    const ada = await cluster.createToken('ada', grants);
    const bob = await cluster.createToken('bob', grants);
    const ask = (path: string, token: string, body: object) =>
      cluster.call('POST', `/v1/queues/batches/${path}`, token, body);
    const big = { payload: 1, headers: { 'x-tenant': '7' } };
    const many = await ask('enqueue-many', ada.token, { items: [{ payload: 0 }, big] });
    const ids = (many.body['items'] as { id: string }[]).map(({ id }) => id);
    const tree = { payload: 1, children: [{ queue: 'leaves', payload: 2, headers: { 'x-leaf': '1' } }] };
    const flow = await ask('enqueue-flow', ada.token, tree);
    ids.push(String(flow.body['id']));
    for (const id of ids) {
      const item = `/v1/queues/batches/items/${id}`;
      expect((await cluster.call('GET', item, ada.token)).body).toMatchObject({ id, owner: 'ada' });
      expect((await cluster.call('GET', item, bob.token)).status).toBe(403);
    }
    expect((await cluster.call('GET', `/v1/queues/batches/items/${ids[1]}`, ada.token)).body).toMatchObject({
      headers: { 'x-tenant': '7' },
    });
    const leaves = async (token: string, owner: string) =>
      (await cluster.call('GET', `/v1/queues/leaves/items?owner=${owner}`, token)).body['items'];
    await expect.poll(() => leaves(ada.token, 'ada')).toMatchObject([{ headers: { 'x-leaf': '1' } }]);
    expect(await leaves(bob.token, 'bob')).toEqual([]);
    const claimed = { 'Trivet-Owner': 'bob' };
    const forged = await ask('enqueue-many', ada.token, { items: [{ payload: 1, headers: claimed }] });
    expect(forged.body).toMatchObject({ items: [{ error: { code: 'invalid_request' } }] });
    const grafted = { payload: 1, children: [{ queue: 'leaves', payload: 2, headers: claimed }] };
    expect((await ask('enqueue-flow', ada.token, grafted)).status).toBe(400);
    const replace = { payload: 2, key: 'k', onDuplicate: 'replace' };
    await ask('enqueue-many', ada.token, { items: [{ ...replace, delay: '1h' }] });
    expect((await ask('enqueue-many', bob.token, { items: [replace] })).body).toMatchObject({
      items: [{ error: { code: 'conflict' } }],
    });
    const admins = await ask('enqueue-many', adminToken, { items: [{ payload: 1 }] });
    const [{ id = '' } = {}] = admins.body['items'] as { id?: string }[];
    const nobodys = await cluster.call('GET', `/v1/queues/batches/items/${id}`, adminToken);
    expect(nobodys.body).not.toHaveProperty('owner');
  });

  test('is not what somebody else’s key stands for: neither his item’s id nor its state is told, and one’s own is not taken for it', async () => {
    const ada = await cluster.createToken('ada', [{ role: 'producer', own: true }]);
    const bob = await cluster.createToken('bob', [{ role: 'producer', own: true }]);
    const friend = await cluster.createToken('friend', [{ role: 'producer' }]);
    const ways = [
      ['/queue/enqueue', { queue_name: 'keys', payload: 1, idempotency_key: 'k' }],
      ['/v1/queues/keys/enqueue', { payload: 1, key: 'k' }],
      ['/v1/queues/keys/enqueue-flow', { payload: 1, key: 'k', children: [{ queue: 'keys', payload: 2 }] }],
    ] as const;
    const first = await cluster.call('POST', ways[0][0], bob.token, ways[0][1]);
    const id = String(first.body['id']);
    for (const [path, body] of ways) {
      const refused = await cluster.call('POST', path, ada.token, body);
      expect(refused, path).toMatchObject({ status: 409, body: { code: 'conflict' } });
      expect(refused.text).not.toContain(id);
      for (const { token } of [bob, friend])
        expect((await cluster.call('POST', path, token, body)).body, path).toMatchObject({
          id,
          duplicate: true,
        });
    }
    const items = [{ payload: 1 }, { payload: 1, key: 'k' }, { payload: 1, key: 'mine' }];
    const many = (token: string) => cluster.call('POST', '/v1/queues/keys/enqueue-many', token, { items });
    const batch = await many(ada.token);
    expect(batch.body).toMatchObject({
      items: [{ duplicate: false }, { error: { code: 'conflict' } }, { duplicate: false }],
    });
    expect(batch.text).not.toContain(`"${id}"`);
    expect((await many(ada.token)).body).toMatchObject({
      items: [{ duplicate: false }, { error: { code: 'conflict' } }, { duplicate: true }],
    });
    expect((await many(friend.token)).body).toMatchObject({ items: [{}, { id, duplicate: true }, {}] });
  });

  test('has room for as many headers as an item that is nobody’s', async () => {
    const { token } = await cluster.createToken('ada', [{ role: 'producer' }]);
    const headers = Object.fromEntries(Array.from({ length: 32 }, (_, n) => [`h${n}`, 'v']));
    const enqueue = (more: object) =>
      cluster.call('POST', '/queue/enqueue', token, { queue_name: 'full', payload: 1, headers, ...more });
    const made = await enqueue({});
    expect(made.status, made.text).toBe(201);
    const item = await cluster.call('GET', `/v1/queues/full/items/${String(made.body['id'])}`, adminToken);
    expect(item.body).toMatchObject({ owner: 'ada', headers });
    expect((await enqueue({ headers: { ...headers, h32: 'v' } })).status).toBe(400);
  });

  test('cannot be claimed for somebody else over NATS', async () => {
    const { token } = await cluster.createToken('forger', [{ role: 'producer', queues: ['orders'] }]);
    const client = await cluster.connect(token);
    const items = [{ payload: 1, headers: { 'Trivet-Owner': 'ada' } }];
    const many = await client.request('trivet.queue.orders.enqueue-many', JSON.stringify({ items }), {
      timeout: 5_000,
    });
    expect(many.json()).toMatchObject({ items: [{ error: { code: 'invalid_request' } }] });
    const flow = { payload: 1, children: [{ queue: 'orders', ...items[0] }] };
    const everywhere = await cluster.createToken('forger', [{ role: 'producer' }]);
    const other = await cluster.connect(everywhere.token);
    const grown = await other.request('trivet.queue.orders.enqueue-flow', JSON.stringify(flow), {
      timeout: 5_000,
    });
    expect(grown.json()).toMatchObject({ error: { code: 'invalid_request' } });
    const owner = headers();
    owner.set('Trivet-Owner', 'ada');
    const named = await client.request(
      'trivet.queue.orders.enqueue-many',
      JSON.stringify({ items: [{ payload: 1 }] }),
      { timeout: 5_000, headers: owner },
    );
    const [made] = named.json<{ items: { id: string }[] }>().items;
    const item = await cluster.call('GET', `/v1/queues/orders/items/${made?.id}`, adminToken);
    expect(item.body).not.toHaveProperty('owner');
    expect(await publishes(client, 'trivet.queue-owned.orders.enqueue-many')).toBe(false);
  });

  test('in the cache are the namespaces that begin with one’s own', async () => {
    const ada = await cluster.createToken('ada', [{ role: 'producer', own: true }]);
    const session = await cluster.call('GET', '/v1/session', ada.token);
    expect(session.body['ownNamespace']).toBe('u-ada');
    const set = (namespace: string) =>
      cluster.call('POST', '/cache/operation', ada.token, {
        operation: 'set',
        namespace,
        key: 'k',
        value: 1,
      });
    const statuses = await Promise.all(['u-ada', 'u-ada_cart', 'u-adam', 'u-bob', 'default'].map(set));
    expect(statuses.map(({ status }) => status)).toEqual([200, 200, 403, 403, 403]);
  });
});
