import { expect, test } from 'vitest';
import { measure } from '#tests/bench/measure.ts';
import { telemetrySuite } from './telemetry-suite.ts';

// Small enough to say nothing about speed: that the workloads run, and that all records arrive at both sides.

const tiny = { messages: 20, records: 1_000, seconds: 1 };

test.each([
  'metrics-aggregated',
  'logs-passthrough',
  'otlp-passthrough',
  'ack-after-export',
  'collector-memory',
  'outage',
])('%s runs to its end, and every record arrives', { timeout: 120_000 }, async (name) => {
  const workloads = telemetrySuite(tiny).workloads.filter((one) => one.workload === name);
  const { results, failures } = await measure(workloads, 1, () => undefined);
  expect(failures).toEqual([]);
  expect(results).toEqual([expect.objectContaining({ workload: name })]);
  expect(results[0]?.peer !== undefined).toBe(!['collector-memory', 'outage'].includes(name));
});
