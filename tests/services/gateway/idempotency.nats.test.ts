import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCluster, startCluster } from './running-cluster.ts';
import { asking } from './asking.ts';

// Whose an Idempotency-Key is: two callers who count from 1 must not be one to us.

let cluster: RunningCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

const { ask, enqueue } = asking(() => cluster.gateway);

async function headersOf(name: string) {
  const made = await ask('POST', '/v1/tokens', { name, grants: [{ role: 'worker' }] });
  return { authorization: `Bearer ${String(made.body['token'])}`, 'idempotency-key': '1' };
}

test('a dequeue with the key of somebody else’s does not hand out his items', async () => {
  const [ada, bob] = [await headersOf('ada'), await headersOf('bob')];
  await enqueue('shared', { payload: 1 });
  const one = await ask('POST', '/v1/queues/shared/dequeue', {}, ada);
  expect(one.body['items']).toHaveLength(1);
  expect((await ask('POST', '/v1/queues/shared/dequeue', {}, bob)).status).toBe(204);
  expect((await ask('POST', '/v1/queues/shared/dequeue', {}, ada)).body).toEqual(one.body);
});

test('records with the key of somebody else’s are stored, too', async () => {
  for (const headers of [await headersOf('carol'), await headersOf('dave')])
    expect(
      (await ask('POST', '/telemetry/record', { type: 'event', name: 'told' }, headers)).body,
    ).toMatchObject({ accepted: 1 });
  const told = async () => {
    const found = await ask('GET', '/v1/telemetry/events?name=told&limit=100');
    return (found.body['events'] as unknown[]).length;
  };
  await expect.poll(told, { timeout: 10_000 }).toBe(2);
});
