import { expect, test } from 'vitest';
import { measure } from '#tests/bench/measure.ts';
import { startTrivet } from './contestant.ts';
import { tinySizes } from './tiny-sizes.ts';
import { queueSuite } from './queue-suite.ts';

// Small enough to say nothing about speed: that the workloads run, and that what they claim is checked.

/** Where the kernel tells what a process uses. */
const onLinux = process.platform === 'linux';

test.each(['backlog-1m', 'blocked-groups'])(
  '%s runs to its end without a peer and passes its own checks',
  { timeout: 120_000 },
  async (name) => {
    const workloads = queueSuite(tinySizes).workloads.filter((one) => one.workload === name);
    const { results, failures } = await measure(workloads, 1, () => undefined);
    expect(failures).toEqual([]);
    expect(results).toEqual([expect.objectContaining({ workload: name })]);
    expect(results[0]?.ours).toBeGreaterThan(0);
    if (onLinux && name === 'backlog-1m') expect(results[0]?.rssMiB).toBeGreaterThan(10);
  },
);

test('a run that lost or doubled an item does not count', { timeout: 60_000 }, async () => {
  const side = await startTrivet(1);
  try {
    await side.clients[0]?.run('fill', { queue: 'mail', count: 3 });
    await expect(side.check('mail', { waiting: 3, done: 0 })).resolves.toBeUndefined();
    await expect(side.check('mail', { waiting: 4, done: 0 })).rejects.toThrow('"waiting":3');
    await expect(side.check('mail', { waiting: 2, done: 1 })).rejects.toThrow('mail should hold');
  } finally {
    await side.stop();
  }
});

test('a task that fails in a client process says why', { timeout: 60_000 }, async () => {
  const side = await startTrivet(1);
  try {
    const failed = side.clients[0]?.run('fill', { queue: 'no such name', count: 1 });
    await expect(failed).rejects.toThrow('fill: invalid_request');
  } finally {
    await side.stop();
  }
});
