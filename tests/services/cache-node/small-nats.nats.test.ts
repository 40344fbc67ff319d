import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Trivet, connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

// A NATS whose `max_payload` is what it is unless somebody sets it.

const keys = Array.from({ length: 400 }, (_, n) => `key-${n}`);
let nats: RunningNatsServer;
let trivet: Trivet;
const nodes: ServiceProcess[] = [];

const start = async (name: string) => {
  nodes.push(await startService('cache-node', { ...natsEnvironment(nats), TRIVET_NAME: name }));
};

beforeAll(async () => {
  nats = await startNatsServer({ config: 'plain', payloadBytesMax: 1_048_576 });
  await start('cache-node-1');
  trivet = await connect({ url: nats.url });
});
afterAll(async () => {
  await trivet.close();
  await Promise.all(nodes.map((node) => node.stop()));
  await nats.stop();
});

const hits = async () => {
  const found = await Promise.all(keys.map((key) => trivet.cache('large').get(key)));
  return found.filter((value) => value !== undefined).length;
};

test('values that are more than one message together are set, read, and handed over to another node', async () => {
  // Random, so that they stay as large as they are.
  const value = randomBytes(90_000).toString('base64');
  await Promise.all(keys.map((key) => trivet.cache('large').set(key, value)));
  expect(await hits()).toBe(keys.length);
  await start('cache-node-2');
  await expect.poll(() => nodes[1]?.output(), { timeout: 20_000 }).toContain('answers for more slots');
  expect(nodes[1]?.output()).toMatch(/"cold":0/);
  expect(await hits()).toBe(keys.length);
});
