import { expect, test } from 'vitest';

import { readyLine, readyScreen } from '#services/cli/ready-screen.ts';

const cluster = {
  nats: 'nats://127.0.0.1:4222',
  http: 'http://127.0.0.1:8420',
  token: 'the-token',
  data: '/srv/trivet',
  pids: {
    'nats-server': 1,
    'queue-broker': [2],
    'cache-node': [3],
    'telemetry-collector': [4],
    gateway: [5, 6],
  },
};

test('the ready line is one line of JSON after its two words', () => {
  expect(readyLine(cluster)).toBe(
    'trivet ready {"nats":"nats://127.0.0.1:4222","http":"http://127.0.0.1:8420","token":"the-token",' +
      '"data":"/srv/trivet","pids":{"nats-server":1,"queue-broker":[2],"cache-node":[3],' +
      '"telemetry-collector":[4],"gateway":[5,6]}}',
  );
});

test('the screen shows addresses, token and one-liners; the one for nats only where it can be typed', () => {
  const options = { prefix: 'trivet', monitor: 'http://127.0.0.1:8222', natsCommand: true };
  const screen = readyScreen(cluster, options);
  for (const part of [
    'http://127.0.0.1:8420',
    'http://127.0.0.1:8222',
    'http://127.0.0.1:8420/sign-in',
    'the-token',
    'npx trivet',
    'curl ',
    'nats --server',
  ])
    expect(screen).toContain(part);
  expect(readyScreen(cluster, { ...options, natsCommand: false })).not.toContain('nats --server');
});

test('the screen leaves out the monitoring of a NATS that is not ours', () => {
  expect(readyScreen(cluster, { prefix: 'trivet', monitor: undefined, natsCommand: true })).not.toContain(
    'monitoring',
  );
});

test('the one-liners name another prefix where there is one', () => {
  const screen = readyScreen(cluster, { prefix: 'acme', monitor: undefined, natsCommand: true });
  expect(screen).toContain('--subject-prefix acme enqueue hello');
  expect(screen).toContain('request acme.queue.hello.dequeue');
});

test('the screen says where OTLP is received, and what to export so that other programs find all of it', () => {
  const options = { prefix: 'trivet', monitor: undefined, natsCommand: false };
  const usual = readyScreen(cluster, { ...options, otlp: { http: 4318, grpc: 4317 } });
  expect(usual).toContain('http://127.0.0.1:4318 (HTTP), http://127.0.0.1:4317 (gRPC)');
  expect(usual).toContain('export TRIVET_TOKEN=the-token');
  expect(usual).toContain('export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318');
  expect(usual).not.toMatch(/export (NATS_URL|TRIVET_HTTP_URL|TRIVET_PREFIX)/);

  const moved = { ...cluster, nats: 'nats://127.0.0.1:4333', http: 'http://127.0.0.1:8500' };
  const other = readyScreen(moved, { ...options, prefix: 'acme' });
  expect(other).toContain('export NATS_URL=nats://127.0.0.1:4333');
  expect(other).toContain('export TRIVET_HTTP_URL=http://127.0.0.1:8500');
  expect(other).toContain('export TRIVET_PREFIX=acme');
  expect(other).not.toContain('OTLP');
});
