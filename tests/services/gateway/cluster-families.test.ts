import { expect, test } from 'vitest';
import { states } from '#shared/protocol/queue-schemas.ts';
import { cacheFamilies, namedMax, queueFamilies } from '#services/gateway/core/cluster-families.ts';
import { prometheusText } from '#services/gateway/core/prometheus-families.ts';

const totals = (n: number) => ({
  counts: Object.fromEntries(states.map((state) => [state, n])) as Record<(typeof states)[number], number>,
  bytes: n,
  oldestPendingMs: n * 1_000,
  attempts: n,
  expiredLeases: n,
  finished: { done: n, failed: n, cancelled: n },
});

const figures = (namespace: string, n: number) =>
  ({
    namespace,
    entries: n,
    bytes: n,
    hits: n,
    staleHits: n,
    misses: n,
    evictionsBy: { entries: n, bytes: n, node: n },
    expirations: n,
  }) as Parameters<typeof cacheFamilies>[0]['namespaces'][number];

test('the queues beyond the named ones are one series, under a name that no queue can have', () => {
  const text = prometheusText(
    queueFamilies({ queues: [{ queue: 'mails', ...totals(2) }], others: { queues: 9_999, ...totals(7) } }),
  );
  expect(text).toContain('\ntrivet_queues 10000\n');
  expect(text).toContain('\ntrivet_queue_items{queue="mails",state="retry"} 2\n');
  expect(text).toContain('\ntrivet_queue_items{queue="(others)",state="retry"} 7\n');
  expect(text).toContain('\ntrivet_queue_oldest_pending_seconds{queue="(others)"} 7\n');
});

test('where every queue is named there are no others', () => {
  const text = prometheusText(queueFamilies({ queues: [], others: { queues: 0, ...totals(0) } }));
  expect(text).toBe('# HELP trivet_queues Queues that exist.\n# TYPE trivet_queues gauge\ntrivet_queues 0\n');
});

test('of each log there is how long it is, and how long it may become where it has a limit', () => {
  const logs = [
    { partition: 0, bytes: 12, bytesMax: 100 },
    { partition: 1, bytes: 34, bytesMax: 0 },
  ];
  const text = prometheusText(queueFamilies({ queues: [], others: { queues: 0, ...totals(0) }, logs }));
  const samples = text.split('\n').filter((line) => line.startsWith('trivet_queue_log'));
  expect(samples).toEqual([
    'trivet_queue_log_bytes{partition="0"} 12',
    'trivet_queue_log_bytes{partition="1"} 34',
    'trivet_queue_log_limit_bytes{partition="0"} 100',
  ]);
});

test('of ten thousand namespaces some have series of their own, and the sums leave out none', () => {
  const namespaces = Array.from({ length: 10_000 }, (_, index) => figures(`n${index}`, 1));
  const families = cacheFamilies({ namespaces });
  for (const { samples } of families) {
    const reasons = new Set(samples.map(({ labels }) => labels['reason'])).size;
    expect(samples).toHaveLength((namedMax + 1) * reasons);
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(10_000 * reasons);
  }
});

test('what a label cannot hold is escaped', () => {
  const samples = [{ labels: { name: 'a"b\\c\nd' }, value: 1 }];
  const text = prometheusText([{ name: 'x', type: 'gauge', help: 'X.', samples }]);
  expect(text.split('\n')[2]).toBe(String.raw`x{name="a\"b\\c\nd"} 1`);
});
