import { expect, test } from 'vitest';

import { readStartOptions, type StartOptions, usage } from '#services/cli/start-options.ts';

function accepted(args: readonly string[], env: Record<string, string> = {}): StartOptions {
  const request = readStartOptions(args, env);
  if (request.kind !== 'start') throw new Error(JSON.stringify(request));
  return request.options;
}

function refused(args: readonly string[], env: Record<string, string> = {}): readonly string[] {
  const request = readStartOptions(args, env);
  return request.kind === 'refused' ? request.faults : [];
}

test('without options a start has one of each service on the usual ports', () => {
  expect(accepted([])).toMatchObject({
    data: '.trivet',
    natsUrl: undefined,
    natsPort: 4222,
    httpPort: 8420,
    token: undefined,
    prefix: 'trivet',
    partitions: 4,
    replicas: 1,
    brokers: 1,
    caches: 1,
    collectors: 1,
    gateways: 1,
    jsonLogs: 'false',
  });
});

test('an option wins over its environment variable', () => {
  const env = { TRIVET_NATS_PORT: '5000', TRIVET_HTTP_PORT: '5001' };
  expect(accepted(['--nats-port', '0'], env)).toMatchObject({ natsPort: 0, httpPort: 5001 });
});

test('a value may follow its option after a blank or an equals sign', () => {
  expect(accepted(['--data', '/tmp/a b', '--brokers=3', '--json-logs'])).toMatchObject({
    data: '/tmp/a b',
    brokers: 3,
    jsonLogs: 'true',
  });
});

test('an empty environment variable is as good as none', () => {
  expect(accepted([], { NATS_URL: '', TRIVET_TOKEN: '' })).toMatchObject({
    natsUrl: undefined,
    token: undefined,
  });
});

test('every fault is named at once, by the name that the user wrote', () => {
  const faults = refused(['--brokers', 'many', '--http-port', '70000', '--colour', 'start'], {
    TRIVET_REPLICAS: '9',
    NATS_URL: 'localhost',
  });
  expect(faults).toHaveLength(6);
  for (const name of ['--brokers', '--http-port', '--colour', '"start"', 'TRIVET_REPLICAS', 'NATS_URL'])
    expect(faults.join('\n')).toContain(name);
});

test.each([
  [['--data'], '--data needs a value'],
  [['--data='], '--data must not be empty'],
  [['--nats-port', '-1'], '--nats-port must be a whole number'],
  [['--nats-port', '4222.5'], '--nats-port must be a whole number'],
  [['--gateways', '0'], '--gateways must be'],
  [['--otlp-endpoint', 'collector:4318'], '--otlp-endpoint must be a URL'],
  [['--json-logs=perhaps'], '--json-logs must be one of true, false'],
  [['-x'], '-x is not a known option'],
])('%j is refused: %s', (args, fault) => {
  expect(refused(args).join('\n')).toContain(fault);
});

test('brokers may be none, so that what is published meanwhile can be watched waiting', () => {
  expect(accepted(['--brokers', '0']).brokers).toBe(0);
});

test('several NATS servers may be given', () => {
  const url = 'nats://a:4222,nats://b:4222';
  expect(accepted([], { NATS_URL: url }).natsUrl).toBe(url);
});

test('help lists every option with its environment variable and default', () => {
  expect(readStartOptions(['--help'], {})).toEqual({ kind: 'help', text: usage() });
  expect(usage()).toMatch(/--nats-port N .*TRIVET_NATS_PORT, 4222/);
});
