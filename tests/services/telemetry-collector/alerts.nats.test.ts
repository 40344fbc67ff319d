import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { subscribe } from '#shared/runtime/nats.ts';
import { CollectorCluster, until } from './running-collector.ts';

vi.setConfig({ testTimeout: 90_000 });

test('an alert goes on being judged while its webhook refuses, and by another collector within 15 s when the judge is killed', async () => {
  const cluster = await CollectorCluster.start();
  const folder = await mkdtemp(join(tmpdir(), 'trivet-alerts-'));
  const webhook = { status: 503, calls: [] as string[] };
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      if (webhook.status < 300) webhook.calls.push((JSON.parse(body) as { state: string }).state);
      response.writeHead(webhook.status).end();
    });
  }).listen(0, '127.0.0.1');
  onTestFinished(async () => {
    server.close();
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  });
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const origin = `http://127.0.0.1:${port}`;
  const path = join(folder, 'pipelines.json');
  const rule = { name: 'depth', metric: 'depth', stat: 'value', above: 10, webhook: `${origin}/hook` };
  await writeFile(path, JSON.stringify({ alerts: [rule] }));
  const env = {
    TRIVET_TELEMETRY_PIPELINES: path,
    TRIVET_TELEMETRY_WEBHOOKS: origin,
    TRIVET_TELEMETRY_ALERT_MS: '200',
    TRIVET_TELEMETRY_ACK_WAIT_MS: '2000',
  };
  const judge = await cluster.startCollector('telemetry-collector-1', env);
  const notices: string[] = [];
  subscribe(cluster.nats, cluster.subjects.telemetryAlert('depth'), {}, (message) =>
    notices.push(message.json<{ state: string }>().state),
  );
  const gauge = (source: string, value: number) =>
    cluster.nats.js.publish(
      cluster.subjects.telemetry('metric'),
      encode([{ name: 'depth', value, source }], json),
    );
  const told = (count: number, msMax = 20_000) =>
    until(
      () => notices.length,
      (length) => length === count,
      msMax,
    );
  await gauge('one', 50);
  await told(1);
  await gauge('one', 1);
  await told(2);
  expect(webhook.calls).toEqual([]);

  await cluster.startCollector('telemetry-collector-2', env);
  await judge.kill();
  await gauge('two', 70);
  await told(3, 15_000);
  expect(notices).toEqual(['firing', 'resolved', 'firing']);
  webhook.status = 204;
  await until(
    () => webhook.calls.length,
    (length) => length === 3,
  );
  // What it is owed comes in its order, from whoever judges then.
  expect(webhook.calls).toEqual(notices);
});
