import { afterAll, beforeAll, expect, test } from 'vitest';
import { promtoolProblems } from '#tests/support/prometheus-server.ts';
import { type RunningCluster, startCluster } from './running-cluster.ts';

let cluster: RunningCluster;
beforeAll(async () => {
  cluster = await startCluster();
}, 60_000);
afterAll(() => cluster?.stop());

const call = (method: string, path: string, body?: object) =>
  cluster.gateway.call(method, path, body === undefined ? {} : { body });

/** Samples of the text, by their name and labels. */
const samplesOf = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );

test('queues and caches are metered at the gateway, in a form that promtool has nothing to say against', async () => {
  for (const payload of [1, 2, 3]) await call('POST', '/queue/enqueue', { queue_name: 'mails', payload });
  const leased = await call('GET', '/queue/mails/dequeue');
  const [item] = leased.body['items'] as { id: string; token: number }[];
  await call('POST', `/queue/mails/${item?.id}/complete`, { token: item?.token });
  await call('POST', '/v1/queues/later/enqueue', { payload: 1, delay: '1h' });
  const cache = (operation: string, more: object) =>
    call('POST', '/cache/operation', { operation, namespace: 'shop', ...more });
  await call('PATCH', '/v1/cache/shop', { entriesMax: 2 });
  for (const key of ['a', 'b', 'c']) await cache('set', { key, value: 1 });
  await cache('get', { key: 'c' });
  await cache('get', { key: 'nothing' });
  const { text } = await call('GET', '/metrics');
  expect(promtoolProblems(text)).toBe('');
  const samples = samplesOf(text);
  const expected = {
    trivet_queues: 2,
    'trivet_queue_items{queue="mails",state="pending"}': 2,
    'trivet_queue_items{queue="mails",state="done"}': 1,
    'trivet_queue_items{queue="later",state="scheduled"}': 1,
    'trivet_queue_finished_items_total{queue="mails",state="done"}': 1,
    'trivet_queue_finished_items_total{queue="mails",state="failed"}': 0,
    'trivet_queue_attempts_total{queue="mails"}': 1,
    'trivet_queue_oldest_pending_seconds{queue="later"}': 0,
    'trivet_queue_log_limit_bytes{partition="0"}': 2 * 1_024 ** 3,
    'trivet_cache_entries{namespace="shop"}': 2,
    'trivet_cache_hits_total{namespace="shop"}': 1,
    'trivet_cache_misses_total{namespace="shop"}': 1,
    'trivet_cache_evictions_total{namespace="shop",reason="entries"}': 1,
  };
  expect(Object.fromEntries(Object.keys(expected).map((name) => [name, samples.get(name)]))).toEqual(
    expected,
  );
  expect(samples.get('trivet_queue_oldest_pending_seconds{queue="mails"}')).toBeGreaterThan(0);
  expect(samples.get('trivet_queue_log_bytes{partition="0"}')).toBeGreaterThan(0);
  expect(samples.get('trivet_cache_bytes{namespace="shop"}')).toBeGreaterThan(0);
});
