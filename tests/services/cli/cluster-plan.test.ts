import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { planCluster } from '#services/cli/cluster-plan.ts';
import { readStartOptions } from '#services/cli/start-options.ts';

function plan(args: readonly string[], env: Record<string, string> = {}) {
  const request = readStartOptions(args, env);
  if (request.kind !== 'start') throw new Error(JSON.stringify(request));
  return planCluster({
    options: request.options,
    address: {
      natsUrl: 'nats://127.0.0.1:4222',
      natsUser: 'trivet-service',
      natsPassword: 'pw',
      secrets: { session: 'session-secret', auditKey: 'audit-seed' },
      token: 'the-token',
    },
    pathOf: (name) => `/data/${name}`,
    entryOf: (service) => `/services/${service}/main.ts`,
    env,
  });
}

test('each process has a name that stays and a folder of its own', () => {
  const plans = plan(['--brokers', '2', '--caches', '0']);
  expect(plans.map(({ name, env }) => [name, env['TRIVET_NAME'], env['TRIVET_DATA']])).toEqual(
    ['queue-broker-1', 'queue-broker-2', 'telemetry-collector-1', 'gateway-1'].map((name) => [
      name,
      name,
      `/data/${name}`,
    ]),
  );
});

test('every service is told how to reach NATS and how the cluster is cut', () => {
  const [broker] = plan(['--otlp-endpoint', 'http://127.0.0.1:4318'], { TRIVET_PREFIX: 'acme' });
  expect(broker?.env).toMatchObject({
    NATS_URL: 'nats://127.0.0.1:4222',
    TRIVET_NATS_USER: 'trivet-service',
    TRIVET_NATS_PASSWORD: 'pw',
    TRIVET_PREFIX: 'acme',
    TRIVET_PARTITIONS: '4',
    TRIVET_REPLICAS: '1',
    TRIVET_LOG_LEVEL: 'info',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318',
  });
});

test('only the gateway gets the token', () => {
  const plans = plan([], { TRIVET_TOKEN: 'given' });
  const holders = plans.filter(({ env }) => env['TRIVET_TOKEN'] !== undefined);
  expect(holders.map(({ name }) => name)).toEqual(['gateway-1']);
  expect(holders[0]?.env['TRIVET_TOKEN']).toBe('the-token');
});

test('the first gateway has the port that was asked for, further ones any free one', () => {
  const gateways = plan(['--gateways', '3', '--http-port', '9000']).filter(
    ({ service }) => service === 'gateway',
  );
  expect(gateways.map(({ env }) => env['TRIVET_HTTP_PORT'])).toEqual(['9000', '0', '0']);
});

test('a restarted gateway keeps the port that it got', () => {
  const gateway = plan(['--http-port', '0']).find(({ service }) => service === 'gateway');
  const kept = gateway?.envAfter?.({ type: 'ready', http: 'http://127.0.0.1:40123' });
  expect(kept).toEqual({ TRIVET_HTTP_PORT: '40123' });
});

test('a restarted collector keeps its metrics port', () => {
  const collector = plan([]).find(({ service }) => service === 'telemetry-collector');
  const kept = collector?.envAfter?.({ type: 'ready', http: 'http://127.0.0.1:40124' });
  expect(kept).toEqual({ TRIVET_METRICS_PORT: '40124' });
});

test('a metrics port is for the first process of a kind; unset it stays unset', () => {
  const collectors = (env: Record<string, string>) =>
    plan(['--collectors', '2'], env)
      .filter(({ service }) => service === 'telemetry-collector')
      .map((collector) => collector.env['TRIVET_METRICS_PORT']);
  expect(collectors({ TRIVET_METRICS_PORT: '9464' })).toEqual(['9464', '0']);
  expect(collectors({})).toEqual([undefined, undefined]);
});

test('other variables reach the services as they are', () => {
  const [broker] = plan([], { TRIVET_QUEUE_STORE: 'redis', OTEL_SERVICE_NAME: 'x' });
  expect(broker?.env).toMatchObject({ TRIVET_QUEUE_STORE: 'redis', OTEL_SERVICE_NAME: 'x' });
});

test('a secret in a file is given as it is, and its file to nobody', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-plan-'));
  const env = {
    TRIVET_NATS_PASSWORD_FILE: join(folder, 'password'),
    TRIVET_TOKEN_FILE: join(folder, 'token'),
    TRIVET_JWT_KEY_FILE: '/keys/jwt.pem',
  };
  await writeFile(env.TRIVET_NATS_PASSWORD_FILE, 'pw\n');
  await writeFile(env.TRIVET_TOKEN_FILE, 'the-token\n');
  const request = readStartOptions([], env);
  expect(request).toMatchObject({ options: { natsPassword: 'pw', token: 'the-token' } });
  for (const { name, env: given } of plan([], env)) {
    expect(given['TRIVET_NATS_PASSWORD'], name).toBe('pw');
    expect(given['TRIVET_NATS_PASSWORD_FILE'], name).toBeUndefined();
    expect(given['TRIVET_TOKEN_FILE'], name).toBeUndefined();
    expect(given['TRIVET_JWT_KEY_FILE'], name).toBe('/keys/jwt.pem');
  }
  await rm(folder, { recursive: true });
});

test('session secret and audit key are the data folder’s, unless others were set', () => {
  const gateway = (env: Record<string, string>) =>
    plan([], env).find(({ service }) => service === 'gateway')?.env;
  expect(gateway({ TRIVET_AUDIT_KEY: '' })).toMatchObject({
    TRIVET_SESSION_SECRET: 'session-secret',
    TRIVET_AUDIT_KEY: 'audit-seed',
  });
  const own = gateway({ TRIVET_SESSION_SECRET: 'shared', TRIVET_AUDIT_KEY_FILE: '/keys/audit' });
  expect(own).toMatchObject({ TRIVET_SESSION_SECRET: 'shared', TRIVET_AUDIT_KEY_FILE: '/keys/audit' });
  expect(own).not.toHaveProperty('TRIVET_AUDIT_KEY');
});
