import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceName, natsEnvironment, startService } from '#tests/support/service-process.ts';

// What somebody set wrongly ends a service in one sentence that names the setting; for good (exit code 2 or 3), unless it
// may pass.

let nats: RunningNatsServer;
let dir: string;

beforeAll(async () => {
  nats = await startNatsServer();
  dir = await mkdtemp(join(tmpdir(), 'trivet-refused-'));
  await writeFile(join(dir, 'file'), '');
});
afterAll(async () => {
  await nats.stop();
  await rm(dir, { recursive: true, force: true });
});

const start = (service: ServiceName, env: Readonly<Record<string, string>>) =>
  startService(service, {
    ...natsEnvironment(nats),
    TRIVET_TOKEN: 'token-of-the-tests',
    TRIVET_HTTP_PORT: '0',
    TRIVET_OTLP_HTTP_PORT: 'off',
    TRIVET_OTLP_GRPC_PORT: 'off',
    ...env,
  });

test.each(['queue-broker', 'telemetry-collector', 'gateway'] as const)(
  'a folder that %s may not write to is named, with the reason',
  async (service) => {
    const started = start(service, { TRIVET_DATA: join(dir, 'file', 'below') });
    await expect(started).rejects.toThrow(/ended with 2 .*TRIVET_DATA: \S+ cannot be used \(ENOTDIR/s);
  },
);

test.each([
  ['gateway', 'TRIVET_HTTP_PORT'],
  ['telemetry-collector', 'TRIVET_METRICS_PORT'],
] as const)('of a port that another program has the %s names the setting, %s', async (service, variable) => {
  const started = start(service, { [variable]: String(nats.port) });
  await expect(started).rejects.toThrow(
    new RegExp(
      `ended with 1 .*${variable}: cannot listen on 127.0.0.1:${nats.port} \\(taken by another program\\)`,
      's',
    ),
  );
});

test('of a UDP address that is not of this machine the collector names the settings', async () => {
  const started = start('telemetry-collector', {
    TRIVET_STATSD_PORT: '18125',
    TRIVET_STATSD_HOST: '192.0.2.1',
  });
  await expect(started).rejects.toThrow(/ended with 1 .*TRIVET_STATSD_HOST and TRIVET_STATSD_PORT: cannot/s);
});

test('a NATS that is not there is named', async () => {
  const started = start('queue-broker', { NATS_URL: 'nats://nowhere.invalid' });
  await expect(started).rejects.toThrow(
    /the NATS at nats:\/\/nowhere\.invalid \(NATS_URL\) cannot be reached/,
  );
});

test.each([
  ['queue-broker', 'TRIVET_LOG_BYTES_MAX'],
  ['telemetry-collector', 'TRIVET_TELEMETRY_BYTES_MAX'],
] as const)('a JetStream with less room than %s asks for is a missing part', async (service, variable) => {
  const small = await startNatsServer({
    config: 'plain',
    plainLines: 'jetstream { store_dir: $TRIVET_NATS_STORE, max_file_store: 20MB }',
  });
  try {
    await expect(start(service, natsEnvironment(small))).rejects.toThrow(
      new RegExp(`ended with 3 .*JetStream has no room for the stream TRIVET_.*${variable}`, 's'),
    );
  } finally {
    await small.stop();
  }
});
