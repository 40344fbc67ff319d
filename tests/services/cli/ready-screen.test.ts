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
