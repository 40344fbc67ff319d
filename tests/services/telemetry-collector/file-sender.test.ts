import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import { FileSender } from '#services/telemetry-collector/file-sender.ts';

test('senders to one file do not write over what another one was told is there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-file-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'telemetry.jsonl');
  const body = ProtobufLogsSerializer.serializeRequest([]) ?? new Uint8Array();
  // A reload that changes how large the file may be: the former sender still writes what it was given.
  const former = new FileSender({ type: 'file', path, rotateBytes: 1e9, filesMax: 2 });
  await former.send('logs', body);
  const sent = [former.send('logs', body), former.send('traces', body), former.send('metrics', body)];
  former.close();
  const next = new FileSender({ type: 'file', path, rotateBytes: 1e8, filesMax: 2 });
  sent.push(next.send('logs', body), next.send('traces', body));
  for (const outcome of await Promise.all(sent)) expect(outcome).toMatchObject({ kind: 'accepted' });
  next.close();
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  expect(lines).toHaveLength(6);
  for (const line of lines) expect(() => JSON.parse(line) as unknown).not.toThrow();
});

test('two collectors that move the files on at the same time keep every line', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-file-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'telemetry.jsonl');
  const body = ProtobufLogsSerializer.serializeRequest([]) ?? new Uint8Array();
  const connection = { type: 'file' as const, path, rotateBytes: 40, filesMax: 200 };
  const senders = [new FileSender(connection), new FileSender(connection), new FileSender(connection)];
  const count = 60;
  const sent = senders.flatMap((one) => Array.from({ length: count }, () => one.send('logs', body)));
  for (const outcome of await Promise.all(sent)) expect(outcome).toMatchObject({ kind: 'accepted' });
  for (const one of senders) one.close();
  const names = await readdir(folder);
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  expect(names.length).toBeGreaterThan(2);
  expect(texts.join('').split('\n').slice(0, -1)).toHaveLength(senders.length * count);
  for (const line of texts.join('').split('\n').slice(0, -1))
    expect(() => JSON.parse(line) as unknown).not.toThrow();
});
