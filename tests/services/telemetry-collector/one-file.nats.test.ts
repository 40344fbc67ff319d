import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { CollectorCluster, until } from './running-collector.ts';

vi.setConfig({ testTimeout: 90_000 });

test('two collectors that have one file for a destination lose nothing that was acknowledged', async () => {
  const cluster = await CollectorCluster.start();
  const folder = await mkdtemp(join(tmpdir(), 'trivet-file-two-'));
  onTestFinished(async () => {
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const path = join(folder, 'pipelines.json');
  const file = join(folder, 'telemetry.jsonl');
  await writeFile(path, JSON.stringify({ destinations: [{ name: 'archive', type: 'file', path: file }] }));
  for (const name of ['telemetry-collector-1', 'telemetry-collector-2'])
    await cluster.startCollector(name, { TRIVET_TELEMETRY_PIPELINES: path });
  const count = 400;
  for (let index = 0; index < count; index += 1)
    await cluster.nats.js.publish(
      cluster.subjects.telemetry('log'),
      encode([{ message: `line-${index}-end` }], json),
    );
  await until(
    () => cluster.streamMessages(),
    (messages) => messages === 0,
  );
  const text = await readFile(file, 'utf8');
  const found = new Set(text.match(/line-\d+-end/g));
  expect(found.size).toBe(count);
});
