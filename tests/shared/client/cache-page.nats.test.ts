import { afterAll, beforeAll, test } from 'vitest';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { expectPageToRun } from '#tests/support/page-program.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

let server: RunningNatsServer;
let node: ServiceProcess;

beforeAll(async () => {
  server = await startNatsServer();
  node = await startService('cache-node', { ...natsEnvironment(server), TRIVET_CACHE_LEASE_MS: '10000' });
});

afterAll(async () => {
  await node?.stop();
  await server?.stop();
});

test('the program on docs/cache-client.md runs and prints what it says', { timeout: 60_000 }, () =>
  expectPageToRun('docs/cache-client.md', server.url),
);
