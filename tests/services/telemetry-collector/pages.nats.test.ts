import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { subscribe } from '#shared/runtime/nats.ts';
import type { AlertsReply } from '#shared/protocol/telemetry-replies.ts';
import { CollectorCluster, until } from './running-collector.ts';

// The files on docs/pipelines.md and docs/telemetry.md, as they stand there, and the settings beside them.

vi.setConfig({ testTimeout: 90_000 });

let cluster: CollectorCluster;
let folder: string;

beforeEach(async () => {
  cluster = await CollectorCluster.start();
  folder = await mkdtemp(join(tmpdir(), 'trivet-pages-'));
});

afterEach(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The first block of JSON on a page, and everything that its shell blocks export. */
async function example(page: string) {
  const markdown = await readFile(page, 'utf8');
  const [, file = ''] = /^```json\n([^]*?)^```$/m.exec(markdown) ?? [];
  const exported = [...markdown.matchAll(/^export ([A-Z_]+)=(\S+)/gm)];
  const path = join(folder, 'pipelines.json');
  const env = Object.fromEntries(exported.map(([, name = '', value = '']) => [name, value]));
  expect(env['TRIVET_TELEMETRY_PIPELINES']).toBe('$PWD/pipelines.json');
  return { markdown, file, path, key: env['OTLP_KEY'], env: { ...env, TRIVET_TELEMETRY_PIPELINES: path } };
}

test('the file of docs/pipelines.md starts a collector, and a record goes everywhere that it names', async () => {
  const { file, path, key, env } = await example('docs/pipelines.md');
  const keys: (string | undefined)[] = [];
  const main = createServer((request, response) => {
    keys.push(request.headers.authorization);
    request.resume().on('end', () => response.end());
  }).listen(0, '127.0.0.1');
  await once(main, 'listening');
  const { port } = main.address() as { port: number };
  // Nobody answers at the two receivers of the page: the required one is here, and the other need not have anything.
  const endpoint = 'https://otlp.example.org';
  expect(file).toContain(endpoint);
  const archive = join(folder, 'telemetry.jsonl');
  await writeFile(
    path,
    file.replace(endpoint, `http://127.0.0.1:${port}`).replace('.trivet/telemetry.jsonl', archive),
  );
  await cluster.startCollector('telemetry-collector-1', env);
  const copies: string[] = [];
  subscribe(cluster.service, 'copies.otlp.>', {}, ({ subject, data }) => {
    copies.push(`${subject} ${Buffer.from(data).toString('latin1')}`);
  });
  await cluster.service.connection.flush();
  const record = { message: 'card 1234-5678-9012-3456', source: 'shop-eu', level: 'error' };
  await cluster.nats.js.publish(cluster.subjects.telemetry('log'), JSON.stringify(record));
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );
  expect(keys).toContain(`Bearer ${key}`);
  expect(await readFile(archive, 'utf8')).toContain('card [card]');
  expect(copies.join('\n')).toMatch(/copies\.otlp\.logs .*card \[card\].*production/s);
  const closed = once(main, 'close');
  main.close();
  main.closeAllConnections();
  await closed;
});

test('the file of docs/pipelines.md does not start a collector without the key that it names, and that is said', async () => {
  const { file, path, env } = await example('docs/pipelines.md');
  const { OTLP_KEY: _key, ...others } = env as Record<string, string>;
  await writeFile(path, file);
  await expect(cluster.startCollector('telemetry-collector-1', others)).rejects.toThrow(
    'names OTLP_KEY, which is not in the environment',
  );
});

test('the alerts of docs/telemetry.md are judged, and the record on the page makes one fire', async () => {
  const { markdown, file, path, env } = await example('docs/telemetry.md');
  await writeFile(path, file);
  const { alerts } = JSON.parse(file) as { alerts: readonly { name: string }[] };
  await cluster.startCollector('telemetry-collector-1', { ...env, TRIVET_TELEMETRY_ALERT_MS: '100' });
  const states = async () => (await cluster.ask('alerts')) as AlertsReply;
  await until(states, (reply) => reply.alerts.length === alerts.length);
  const [, subject = '', record = ''] = /^nats publish (\S+) '(.*)'$/m.exec(markdown) ?? [];
  await cluster.nats.js.publish(subject, record);
  const fired = await until(states, (reply) => reply.alerts.some(({ state }) => state === 'firing'));
  expect(fired.alerts.filter(({ state }) => state === 'firing').map(({ name }) => name)).toEqual([
    'disk-full',
  ]);
});
