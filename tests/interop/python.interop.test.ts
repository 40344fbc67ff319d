import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { pythonWithNats } from '#tests/support/python.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

let server: RunningNatsServer;
let services: readonly ServiceProcess[] = [];
let python: string;

beforeAll(async () => {
  python = await pythonWithNats();
  server = await startNatsServer();
  const env = natsEnvironment(server);
  services = await Promise.all([
    startService('queue-broker', { ...env, TRIVET_PARTITIONS: '4', TRIVET_DATA: join(server.dir, 'broker') }),
    startService('cache-node', env),
  ]);
}, 180_000);

afterAll(async () => {
  await Promise.all(services.map((service) => service.stop()));
  await server?.stop();
});

test('a Python program without our code uses the queue and the cache', async () => {
  const { stdout } = await promisify(execFile)(python, ['tests/interop/queue_and_cache.py', server.url]);
  const seen = JSON.parse(stdout) as { enqueued: { id: string } };
  const { id } = seen.enqueued;
  expect(seen).toMatchObject({
    enqueued: { queue: 'python', state: 'pending', priority: 'high', duplicate: false },
    again: { id, duplicate: true },
    stream: 'TRIVET_INGEST',
    items: [
      { id, payload: { n: 1 }, attempt: 1, priority: 'high' },
      { payload: { n: 2 }, attempt: 1, priority: 'normal' },
    ],
    completed: { id, state: 'done' },
    failed: { state: 'failed', attempt: 1 },
    refused: { error: { code: 'invalid_request' } },
    refusedCode: '400',
    item: { state: 'done', result: { by: 'python' }, attempts: [{ worker: 'python' }] },
    set: { version: expect.any(Number) as number },
    got: { hit: true, value: [1, 'é'] },
    missed: { hit: false },
  });
});
