import { expect, test } from 'vitest';
import { isOnPath } from '#services/cli/embedded-nats.ts';
import { measure } from '#tests/bench/measure.ts';
import { cacheSuite } from './cache-suite.ts';

// Small enough to say nothing about speed: that the workloads run on both sides, and that what they read is checked.

const tinySizes = { keys: 200, calls: 1_000, many: 1_000, serial: 50, near: 1_000, entries: 10_000 };
const compared = ['set-200-kv', 'get-many-100', 'get-serial', 'near-hit', 'zipf-95-5'];

// The peer gets a Redis of its own; one that only TRIVET_TEST_REDIS_URL names will not do.
const redisHere = await isOnPath('redis-server', process.env);

test.skipIf(!redisHere).each(compared)(
  '%s runs on both sides and reads what was set',
  { timeout: 120_000 },
  async (name) => {
    const workloads = cacheSuite(tinySizes).workloads.filter((one) => one.workload === name);
    const { results, failures } = await measure(workloads, 1, () => undefined);
    expect(failures).toEqual([]);
    expect(results).toEqual([expect.objectContaining({ workload: name })]);
    expect(results[0]?.ours).toBeGreaterThan(0);
    expect(results[0]?.peer).toBeGreaterThan(0);
    if (name === 'zipf-95-5')
      expect(results[0]?.notes).toMatch(/near hit ratio [\d.]+, staleness p50 ms [\d.]+/);
  },
);
