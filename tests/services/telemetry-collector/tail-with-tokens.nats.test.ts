import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import {
  type ClosedCluster,
  adminToken,
  startClosedCluster,
} from '#tests/services/gateway/closed-cluster.ts';
import { startNatsServer } from '#tests/support/nats-server.ts';
import { until } from './running-collector.ts';
import { type RunningTail, runTail } from './running-tail.ts';

// `trivet telemetry tail` where nats-server says who may ask and listen.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let cluster: ClosedCluster;
let tail: RunningTail | undefined;

beforeAll(async () => {
  // The usual ports belong to one collector of a machine.
  const ports = { TRIVET_OTLP_HTTP_PORT: 'off', TRIVET_OTLP_GRPC_PORT: 'off' };
  cluster = await startClosedCluster(['auth-callout', 'telemetry-collector'], ports);
});

afterEach(() => tail?.child.kill('SIGKILL'));
afterAll(() => cluster?.stop());

/** Its exit code and what it wrote on stderr, once it has ended. */
async function ended({ child, complaints }: RunningTail) {
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr: complaints() };
}

/** Once it shows a record of this text, which is recorded until then. */
async function shows({ records }: RunningTail, message: string): Promise<void> {
  const recorder = await cluster.connect((await cluster.createToken('shop', [{ role: 'producer' }])).token);
  await until(
    async () => {
      const body = JSON.stringify([{ message, level: 'error' }]);
      await recorder.request('trivet.telemetry.log', body, { timeout: 10_000 });
      return records();
    },
    (shown) => shown.some((one) => one.message === message),
    30_000,
  );
}

test.each(['admin', 'viewer'] as const)('a token of the role %s shows records as they come', async (role) => {
  const token = role === 'admin' ? adminToken : (await cluster.createToken('eyes', [{ role }])).token;
  tail = runTail(['--nats', cluster.nats.url, '--token', token]);
  await shows(tail, role);
  expect(tail.complaints()).toBe('');
  tail.child.kill('SIGINT');
  expect(await ended(tail)).toEqual({ code: 0, stderr: '' });
});

test('a token that is revoked meanwhile is told so, once', async () => {
  const key = await cluster.createToken('was there', [{ role: 'viewer' }]);
  tail = runTail(['--nats', cluster.nats.url, '--token', key.token]);
  await shows(tail, 'before');
  await cluster.call('POST', `/v1/tokens/${key.id}/revoke`, adminToken);
  await expect.poll(() => tail?.complaints(), { timeout: 20_000 }).toContain('NATS refuses the token');
  await setTimeout(3_000);
  expect(tail.complaints().match(/NATS refuses the token/g)).toHaveLength(1);
});

test('a token that may not ask is told so in one line', async () => {
  const { token } = await cluster.createToken('shop', [{ role: 'producer' }]);
  tail = runTail(['--nats', cluster.nats.url, '--token', token]);
  expect(await ended(tail)).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^trivet: forbidden: .*Publish to "trivet\.telemetry-query\.tail".*\n$/),
  });
});

test('who may not listen to the answers is told so in one line', async () => {
  const nobody = '{ user: nobody, password: x, permissions: { publish: ">", subscribe: { deny: ">" } } }';
  const server = await startNatsServer({
    config: 'plain',
    plainLines: `no_auth_user: nobody\nauthorization { users: [${nobody}] }`,
  });
  try {
    tail = runTail(['--nats', server.url]);
    expect(await ended(tail)).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^trivet: forbidden: .*Subscription to "_INBOX\..*\n$/),
    });
  } finally {
    await server.stop();
  }
});
