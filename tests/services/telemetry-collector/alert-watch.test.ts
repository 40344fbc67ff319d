import { expect, test } from 'vitest';
import type { AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import { AlertWatch, type StoredAlert } from '#services/telemetry-collector/alert-watch.ts';
import {
  type ExponentialHistogram,
  emptyExponential,
  observeExponential,
} from '#services/telemetry-collector/core/exponential-histogram.ts';
import { type Series, snapshotOf } from '#services/telemetry-collector/core/series.ts';

const identity = { id: 1, source: 'shop', unit: '', labels: [], startMs: 0, updatedMs: 0 };
const counter = (total: number): Series => ({ ...identity, name: 'orders', type: 'counter', total });
const exponential = (histogram: ExponentialHistogram): Series =>
  snapshotOf({ ...identity, name: 'wait', type: 'exponential_histogram', histogram });

const gauge = (value: number, atMs: number, source = 'shop'): Series => ({
  ...identity,
  source,
  name: 'disk.used',
  type: 'gauge',
  value,
  atMs,
});

/** A watch over one rule, and what it announces; `counted` is what the collectors say in the next round. */
function watching(rule: AlertRule) {
  const clock = new ManualClock(1_000_000);
  const notices: string[] = [];
  const counted: Record<string, readonly Series[] | 'silent'> = {};
  let stored: StoredAlert | undefined;
  const watch = new AlertWatch({
    store: {
      read: () => Promise.resolve({ alert: stored, revision: 0 }),
      write: (_name, alert) => {
        stored = alert;
        return Promise.resolve(true);
      },
    },
    isJudge: () => Promise.resolve(true),
    read: () => {
      const all = Object.entries(counted);
      return Promise.resolve({
        parts: all.flatMap(([collector, series]) =>
          series === 'silent' ? [] : [{ collector, series, errors: 0 }],
        ),
        silent: all.filter(([, series]) => series === 'silent').map(([collector]) => collector),
      });
    },
    announce: (_rule, { state, value }) => notices.push(`${state} ${Math.round(value ?? 0)}`),
    call: () => Promise.resolve(true),
    everyMs: 5_000,
    clock,
    log: createLog('alert-watch-test', 'silent'),
  });
  watch.use([rule]);
  watch.start();
  const round = async (now: typeof counted): Promise<void> => {
    Object.assign(counted, now);
    await clock.advance(5_000, () => new Promise((resolve) => setImmediate(resolve)));
  };
  return { round, notices };
}

const busy: AlertRule = { name: 'busy', metric: 'orders', stat: 'rate', above: 100, window: '20s' };

test('a collector that does not answer for a while, and then does, is no burst', async () => {
  const { round, notices } = watching(busy);
  await round({ one: [counter(0)], two: [counter(1_000_000)] });
  await round({ one: [counter(10)] });
  await round({ one: [counter(20)], two: 'silent' });
  for (let index = 3; index < 10; index += 1) await round({ one: [counter(index * 10)] });
  await round({ two: [counter(1_000_100)] });
  await round({ two: [counter(1_000_110)] });
  expect(notices).toEqual([]);
});

test('one that was never heard before brings what it has counted, and that did not happen now', async () => {
  const { round, notices } = watching(busy);
  await round({ one: [counter(0)] });
  await round({ one: [counter(10)] });
  await round({ two: [counter(1_000_000)] });
  expect(notices).toEqual([]);
  await round({ two: [counter(1_010_000)] });
  expect(notices).toEqual(['firing 667']);
});

test('an alert that fires does not resolve because a collector is silent', async () => {
  const { round, notices } = watching(busy);
  await round({ one: [counter(0)], two: [counter(50_000)] });
  for (let index = 1; index < 4; index += 1) await round({ one: [counter(index * 1_000)] });
  expect(notices).toEqual(['firing 200']);
  await round({ one: [counter(4_000)], two: 'silent' });
  await round({ one: [counter(5_000)] });
  expect(notices).toEqual(['firing 200']);
  const deep = watching({ name: 'deep', metric: 'orders', stat: 'value', above: 100 });
  await deep.round({ one: [counter(1)], two: [counter(200)] });
  await deep.round({ two: 'silent' });
  expect(deep.notices).toEqual(['firing 201']);
});

test('a percentile of a window is of the window, also where the first values of a size are in it', async () => {
  const { round, notices } = watching({
    name: 'slow',
    metric: 'wait',
    stat: 'p95',
    above: 500,
    window: '20s',
  });
  const histogram = emptyExponential();
  for (let index = 0; index < 100_000; index += 1) observeExponential(histogram, 10);
  await round({ one: [exponential(histogram)] });
  await round({ one: [exponential(histogram)] });
  for (let index = 0; index < 100; index += 1) observeExponential(histogram, 1_000);
  await round({ one: [exponential(histogram)] });
  expect(notices).toHaveLength(1);
  expect(notices[0]).toMatch(/^firing (?:9\d\d|1000)$/);
});

test('a gauge that several collectors were told is one gauge, and has its youngest value', async () => {
  const { round, notices } = watching({ name: 'full', metric: 'disk.used', stat: 'value', above: 90 });
  await round({ one: [gauge(50, 1)], two: [gauge(60, 2)] });
  await round({ one: [gauge(55, 3)] });
  await round({ two: 'silent' });
  expect(notices).toEqual([]);
  // That of another producer is another one: they are added up.
  await round({ one: [gauge(55, 3), gauge(40, 3, 'bank')] });
  expect(notices).toEqual(['firing 95']);
  await round({ two: [gauge(45, 4)] });
  expect(notices).toEqual(['firing 95', 'resolved 85']);
});

test.each(['value', 'rate'] as const)(
  'what nobody has sent has no %s that could be too small',
  async (stat) => {
    const { round, notices } = watching({ name: 'gone', metric: 'orders', stat, below: 1, window: '10s' });
    for (let index = 0; index < 4; index += 1) await round({ one: [gauge(50, 1)] });
    expect(notices).toEqual([]);
    await round({ one: [counter(0)] });
    await round({ one: [counter(0)] });
    expect(notices).toEqual(['firing 0']);
  },
);
