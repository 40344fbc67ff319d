import { expect, test } from 'vitest';
import { isOnPath } from '#services/cli/embedded-nats.ts';
import { measure } from '#tests/bench/measure.ts';
import { tinySizes } from './tiny-sizes.ts';
import { queueSuite } from './queue-suite.ts';

const compared = [
  'enqueue-single-200',
  'enqueue-batch-500',
  'process-200',
  'process-200-removed',
  'pickup-latency',
  'workers-1-4',
];

// The peer gets a Redis of its own with its own durability; one that only TRIVET_TEST_REDIS_URL names will not do.
const redisHere = await isOnPath('redis-server', process.env);

test.skipIf(!redisHere).each(compared)(
  '%s runs on both sides and passes its own checks',
  { timeout: 120_000 },
  async (name) => {
    const workloads = queueSuite(tinySizes).workloads.filter((one) => one.workload === name);
    const { results, failures } = await measure(workloads, 1, () => undefined);
    expect(failures).toEqual([]);
    expect(results).toEqual([
      expect.objectContaining({ workload: name, peerName: expect.stringContaining('BullMQ') }),
    ]);
    expect(results[0]?.ours).toBeGreaterThan(0);
    expect(results[0]?.peer).toBeGreaterThan(0);
    // Linux alone tells it.
    if (process.platform === 'linux')
      expect(results[0]?.notes).toMatch(
        /CPU µs an item: broker [\d.]+, nats-server [\d.]+, client [\d.]+; .*CPU µs an item: redis [\d.]+, client/,
      );
  },
);
