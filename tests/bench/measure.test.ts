import { expect, test } from 'vitest';
import type { Machine } from './machine.ts';
import { type Sample, type Sides, type Workload, measure, median, percentile } from './measure.ts';
import { type Report, reportLines } from './results.ts';

const machine: Machine = {
  cpu: 'a processor',
  cores: 2,
  memoryGiB: 24,
  os: 'Linux 6.1',
  fsyncMs: { p50: 0.5, p99: 2 },
};

const silent = () => undefined;

/** Two rounds to warm up, and one that counts. */
const thrice = (value: number): readonly Sample[] => [{ value }, { value }, { value }];

/** A workload whose rounds give these samples, the warm-up first. */
function workloadOf(
  fields: Partial<Workload>,
  ours: readonly Sample[],
  peers?: readonly Sample[],
  close: Sides['close'] = () => Promise.resolve(),
): Workload {
  const sampleOf = (samples: readonly Sample[], round: number): Promise<Sample> => {
    const sample = samples[round];
    return sample === undefined ? Promise.reject(new Error('the disk is full')) : Promise.resolve(sample);
  };
  return {
    workload: 'enqueue-single-200',
    unit: 'items/s',
    durability: 'fsync before the answer',
    notes: 'one item a call',
    ...(peers === undefined ? {} : { peerName: 'the peer' }),
    ...fields,
    open: () =>
      Promise.resolve({
        ours: (round) => sampleOf(ours, round),
        ...(peers === undefined ? {} : { peer: (round: number) => sampleOf(peers, round) }),
        close,
      }),
  };
}

test('the JSON has the documented fields, and no others', async () => {
  const own = { value: 100, p50: 1, p99: 2, rssMiB: 300, cpu: { broker: 12 }, figures: { offered: 7 } };
  const other = { value: 50, p50: 3, p99: 4, cpu: { redis: 9 } };
  const { results } = await measure([workloadOf({}, [own, own, own], [other, other, other])], 1, silent);
  const report: Report = {
    machine,
    versions: { node: 'v24' },
    date: '2026-01-01T00:00:00.000Z',
    rounds: 1,
    results,
  };
  expect(JSON.parse(JSON.stringify(report))).toEqual({
    machine: {
      cpu: expect.any(String),
      cores: expect.any(Number),
      memoryGiB: expect.any(Number),
      os: expect.any(String),
      fsyncMs: { p50: expect.any(Number), p99: expect.any(Number) },
    },
    versions: { node: 'v24' },
    date: '2026-01-01T00:00:00.000Z',
    rounds: 1,
    results: [
      {
        workload: 'enqueue-single-200',
        unit: 'items/s',
        durability: 'fsync before the answer',
        ours: 100,
        peer: 50,
        peerName: 'the peer',
        ratio: 2,
        p50: 1,
        p99: 2,
        peerP50: 3,
        peerP99: 4,
        rssMiB: 300,
        notes:
          'one item a call; CPU µs an item: broker 12; the peer, CPU µs an item: redis 9; ours: offered 7',
      },
    ],
  });
});

test('a workload without a peer and without latencies leaves their fields out', async () => {
  const { results } = await measure(
    [workloadOf({ unit: '×' }, [{ value: 1 }, { value: 1 }, { value: 1.2 }])],
    1,
    silent,
  );
  expect(results).toEqual([
    {
      workload: 'enqueue-single-200',
      unit: '×',
      durability: 'fsync before the answer',
      ours: 1.2,
      notes: 'one item a call',
    },
  ]);
});

test('figures are medians over the rounds, and those to warm up do not count', async () => {
  const ours = [9_999, 9_999, 10, 30, 20].map((value) => ({ value, p99: value * 2, cpu: { broker: value } }));
  const { results } = await measure([workloadOf({}, ours)], 3, silent);
  expect(results[0]).toMatchObject({
    ours: 20,
    p99: 40,
    notes: 'one item a call; CPU µs an item: broker 20',
  });
});

test('more is better for the ratio of times, too', async () => {
  const run = (unit: 'items/s' | 'ms') => measure([workloadOf({ unit }, thrice(2), thrice(8))], 1, silent);
  expect((await run('ms')).results[0]?.ratio).toBe(4);
  expect((await run('items/s')).results[0]?.ratio).toBe(0.25);
});

test('rounds of the two sides alternate, and so does who begins', async () => {
  const order: string[] = [];
  const side = (name: string) => (round: number) => {
    order.push(`${name} ${round}`);
    return Promise.resolve({ value: 1 });
  };
  const workload = workloadOf({}, []);
  const open = () =>
    Promise.resolve({ ours: side('ours'), peer: side('peer'), close: () => Promise.resolve() });
  await measure([{ ...workload, peerName: 'the peer', open }], 2, silent);
  expect(order).toEqual(['ours 0', 'peer 0', 'peer 1', 'ours 1', 'ours 2', 'peer 2', 'peer 3', 'ours 3']);
});

test('a workload that fails is told with its reason, is closed, and does not hold up the next', async () => {
  let closed = false;
  const broken = workloadOf({ workload: 'broken' }, [], undefined, () => {
    closed = true;
    return Promise.resolve();
  });
  const { results, failures } = await measure([broken, workloadOf({}, thrice(1))], 1, silent);
  expect(failures).toEqual([{ workload: 'broken', problem: 'the disk is full' }]);
  expect(results.map((one) => one.workload)).toEqual(['enqueue-single-200']);
  expect(closed).toBe(true);
});

test('the report for people has the durability beside each number', async () => {
  const workload = workloadOf({ peerName: 'the peer, everysec' }, thrice(8), thrice(4));
  const { results } = await measure([workload], 1, silent);
  const lines = reportLines({ machine, versions: {}, date: '', rounds: 1, results });
  expect(lines[0]).toBe('a processor, 2 cores, 24 GiB, Linux 6.1; fsync p50 0.5 ms, p99 2 ms');
  expect(lines).toContain('enqueue-single-200: 8 items/s  (fsync before the answer)');
  expect(lines).toContain('  the peer, everysec: 4 items/s  → 2 ×');
});

test('the median of an even number of values lies between the middle two, and that of none is none', () => {
  expect(median([4, 1, undefined, 2, 3])).toBe(2.5);
  expect(median([undefined])).toBeUndefined();
});

test('a percentile is a value that was measured', () => {
  const times = Array.from({ length: 100 }, (_, index) => index + 1);
  expect(percentile(times, 0.5)).toBe(51);
  expect(percentile(times, 0.99)).toBe(100);
  expect(percentile([7], 0.99)).toBe(7);
});
