import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startNatsServer } from '#tests/support/nats-server.ts';
import { adminToken, startClosedCluster } from '#tests/services/gateway/closed-cluster.ts';
import { type RunningQueue, startQueue } from '#tests/services/queue-broker/running-queue.ts';
import { conformanceCases } from './conformance-cases.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
});

afterAll(() => queue?.stop());

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as its script runs it, to its end. */
const conformance = (...args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(import.meta.dirname, 'run.ts'), ...args],
      (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });

test('bad usage is told from a target that does not answer', async () => {
  expect(await conformance()).toMatchObject({ code: 2, stderr: expect.stringContaining('usage:') });
  expect(await conformance('--server', 'x')).toMatchObject({ code: 2 });
  expect(await conformance('--nats', 'nats://127.0.0.1:1')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no NATS answers at nats://127.0.0.1:1'),
  });
  expect(await conformance('--nats', queue.server.url)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no broker answers'),
  });
});

test('a broker that keeps the protocol is told so, case by case, and nothing is left behind', async () => {
  await queue.startBroker();
  const { code, stdout, stderr } = await conformance('--nats', queue.server.url);
  expect(stderr).toBe('');
  const lines = stdout.trimEnd().split('\n');
  expect(lines.filter((line) => line.startsWith('not ok'))).toEqual([]);
  expect(lines.slice(0, -1)).toEqual(conformanceCases.map(({ name }) => `ok      ${name}`));
  expect(code).toBe(0);
  const stats = (await queue.send('trivet.queue.stats', '')).body as {
    queues: { queue: string; counts: Record<string, number> }[];
  };
  for (const { queue: name, counts } of stats.queues)
    expect([name, Object.values(counts).reduce((sum, count) => sum + count, 0)]).toEqual([name, 0]);
}, 60_000);

test('a token is enough where tokens are required', async () => {
  const cluster = await startClosedCluster(['auth-callout', 'queue-broker']);
  try {
    const { code, stdout, stderr } = await conformance('--nats', cluster.nats.url, '--token', adminToken);
    expect(stderr).toBe('');
    expect(stdout.split('\n').filter((line) => line.startsWith('not ok'))).toEqual([]);
    expect(code).toBe(0);
  } finally {
    await cluster.stop();
  }
}, 90_000);

test('a service that answers otherwise fails, case by case', async () => {
  const server = await startNatsServer({ config: 'plain' });
  const service = await connect({ servers: server.url });
  service.subscribe('wrong.queue.*.*', {
    callback: (_, message) => {
      message.respond('{"items":[]}');
    },
  });
  await service.flush();
  const { code, stdout } = await conformance('--nats', server.url, '--prefix', 'wrong');
  await service.close();
  await server.stop();
  expect(code).toBe(1);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.filter((line) => line.startsWith('ok'))).toEqual([]);
  expect(lines.at(-1)).toBe(`0 of ${conformanceCases.length} cases hold`);
}, 60_000);
