import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import type { TelemetryPipelines } from '#shared/protocol/telemetry-pipelines.ts';
import type { OtlpReceiver } from '#tests/support/otlp-receiver.ts';
import { startService, natsEnvironment, type ServiceProcess } from '#tests/support/service-process.ts';
import { type CollectorCluster, until } from './running-collector.ts';
import { eachWithTwoReceivers, replaceFile } from './two-receivers.ts';

let cluster: CollectorCluster;
let first: OtlpReceiver;
let second: OtlpReceiver;
let folder: string;
let file: string;

eachWithTwoReceivers((running) => ({ cluster, first, second, folder, file } = running));

const to = (name: string, receiver: OtlpReceiver) =>
  ({ name, type: 'otlp-http', endpoint: receiver.endpoint, timeout: '1s' }) as const;

const write = (pipelines: TelemetryPipelines | string): Promise<void> =>
  replaceFile(file, typeof pipelines === 'string' ? pipelines : JSON.stringify(pipelines));

async function start(pipelines: TelemetryPipelines): Promise<ServiceProcess> {
  await write(pipelines);
  return startAgain();
}

const startAgain = (): Promise<ServiceProcess> =>
  cluster.startCollector('telemetry-collector-1', {
    TRIVET_TELEMETRY_PIPELINES: file,
    TRIVET_TELEMETRY_ACK_WAIT_MS: '1000',
    OTEL_SDK_DISABLED: 'true',
  });

const publish = (kind: string, body: unknown) =>
  cluster.nats.js.publish(cluster.subjects.telemetry(kind), encode(body, json));

const empty = () =>
  until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );

const text = (receiver: OtlpReceiver) =>
  receiver.accepted.map(({ body }) => body.toString('latin1')).join('');
const times = (receiver: OtlpReceiver, part: string) => text(receiver).split(part).length - 1;

test('with two destinations a message waits for the slower one, and the other gets it once, over a kill -9 too', async () => {
  second.answerWith(() => ({ status: 503 }));
  const collector = await start({ destinations: [to('one', first), to('two', second)] });
  await publish('log', { message: 'twice-wanted' });
  await until(
    () => second.seen.length,
    (count) => count >= 2,
  );
  await until(
    () => times(first, 'twice-wanted'),
    (count) => count === 1,
  );
  expect(await cluster.streamMessages()).toBe(1);
  expect((await cluster.stats()).destinations).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ name: 'one/logs', state: 'up', accepted: 1 }),
      expect.objectContaining({ name: 'two/logs', state: 'down', waiting: 1 }),
    ]),
  );
  await collector.kill();
  const seenBefore = second.seen.length;
  await startAgain();
  await until(
    () => second.seen.length,
    (count) => count > seenBefore,
  );
  second.answerWith(() => ({ status: 200 }));
  await empty();
  expect([times(first, 'twice-wanted'), times(second, 'twice-wanted')]).toEqual([1, 1]);
  expect((await cluster.stats()).kinds.log).toMatchObject({ received: 1, exported: 1, inFlight: 0 });
});

test('a destination that need not have it holds nothing up, and what it misses is counted', async () => {
  second.answerWith(() => ({ status: 503 }));
  await start({ destinations: [to('one', first), { ...to('two', second), required: false }] });
  await publish('log', { message: 'needed once' });
  await empty();
  expect(times(first, 'needed once')).toBe(1);
  // More than may wait for it.
  for (let message = 0; message < 8; message += 1)
    await publish(
      'log',
      Array.from({ length: 100 }, () => ({ message: 'x'.repeat(8_000) })),
    );
  await empty();
  const { destinations } = await cluster.stats();
  const two = destinations.find((one) => one.name === 'two/logs');
  expect(two).toMatchObject({ state: 'down' });
  expect(two?.dropped).toBeGreaterThan(0);
});

test('a record that one destination refuses for good is one dead letter, and the other one keeps it', async () => {
  second.answerWith(({ body }) => ({ status: body.includes('poison') ? 400 : 200 }));
  await start({ destinations: [to('one', first), to('two', second)] });
  await publish('log', [{ message: 'fine' }, { message: 'poison' }, { message: 'good' }]);
  await empty();
  expect([times(first, 'poison'), times(second, 'poison')]).toEqual([1, 0]);
  expect([times(second, 'fine'), times(second, 'good')]).toEqual([1, 1]);
  expect(await cluster.deadLetters()).toMatchObject([
    { reason: 'refused_by_destination', body: '{"message":"poison"}' },
  ]);
  expect((await cluster.stats()).kinds.log).toMatchObject({ received: 3, exported: 2, deadLettered: 1 });
});

test('filters, levels, sampling, redaction and enrichment decide what goes where and how', async () => {
  await start({
    destinations: [
      to('all', first),
      {
        ...to('errors', second),
        filter: { level: 'error', kinds: ['log', 'error', 'otlp'] },
        signals: ['logs'],
      },
    ],
    rules: [
      { sources: ['noisy*'], kinds: ['log'], level: 'warning' },
      { sources: ['chatty'], sample: 0 },
    ],
    redact: { attributes: ['*password*'], patterns: [{ pattern: '\\d{4}-\\d{4}', with: '****' }] },
    enrich: [{ sources: ['shop'], attributes: { region: 'eu', tier: 3 } }],
  });
  await publish('log', [
    { message: 'noisy info', source: 'noisy-1' },
    { message: 'noisy warning', source: 'noisy-1', level: 'warning' },
    { message: 'chatty info', source: 'chatty' },
    { message: 'chatty error', source: 'chatty', level: 'error' },
    {
      message: 'card 1234-5678',
      source: 'shop',
      attributes: {
        db_password: 'hunter2',
        region: 'us',
        nested: { password: 'hunter3', card: ['9999-0000'] },
      },
    },
  ]);
  await publish('metric', { name: 'logins', value: 1, tags: { password: 'hunter4' }, source: 'shop' });
  await publish('log', [
    { message: 'left out', source: 'noisy-1', attributes: { password: 'hunter5' } },
    { message: 7, attributes: { password: 'hunter6' } },
  ]);
  await empty();
  const all = text(first);
  for (const there of ['noisy warning', 'chatty error', 'card ****', '[redacted]', 'region', 'tier', 'us'])
    expect(all).toContain(there);
  for (const gone of ['noisy info', 'chatty info', 'hunter', '1234-5678', '9999-0000'])
    expect(all).not.toContain(gone);
  expect(text(second)).toContain('chatty error');
  expect(text(second)).not.toContain('noisy warning');
  expect(second.accepted.every(({ path }) => path === '/v1/logs')).toBe(true);
  const stats = await cluster.stats();
  expect(stats.kinds.log).toMatchObject({
    received: 7,
    filtered: 2,
    sampled: 1,
    exported: 3,
    deadLettered: 1,
  });
  expect(stats.examples).toMatchObject({
    filtered: { record: '[redacted]' },
    invalid_record: { record: '[redacted]' },
  });
});

test('OTLP that came as such is filtered, redacted and enriched as records are', async () => {
  await start({
    destinations: [to('all', first)],
    rules: [{ kinds: ['otlp'], level: 'info' }],
    redact: { attributes: ['secret'] },
    enrich: [{ attributes: { region: 'eu' } }],
  });
  const request = {
    resourceLogs: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
        scopeLogs: [
          {
            scope: { name: 'lib', attributes: [{ key: 'secret', value: { stringValue: 'hunter1' } }] },
            logRecords: [
              { severityNumber: 5, body: { stringValue: 'debug line' } },
              {
                severityNumber: 9,
                body: { stringValue: 'info line' },
                attributes: [{ key: 'secret', value: { stringValue: 'hunter2' } }],
              },
            ],
          },
        ],
      },
    ],
  };
  const headers = headersOf({ 'Content-Type': json });
  const subject = cluster.subjects.otlp('logs');
  await cluster.nats.js.publish(subject, JSON.stringify(request), headers && { headers });
  await empty();
  expect(text(first)).toContain('info line');
  expect(text(first)).toContain('[redacted]');
  expect(text(first)).toContain('region');
  expect(text(first)).not.toContain('debug line');
  expect(text(first)).not.toMatch(/hunter[12]/);
  expect((await cluster.stats()).kinds.otlp).toMatchObject({ received: 2, filtered: 1, exported: 1 });
});

test('a reload loses no record: a bad file is refused, what was waits for the new place', async () => {
  first.answerWith(() => ({ status: 503 }));
  const collector = await start({ destinations: [to('main', first)] });
  await publish('log', { message: 'held-back' });
  await until(
    () => first.seen.length,
    (count) => count >= 1,
  );
  const refused = [
    ['{', 'is not JSON'],
    ['{"destinations":[{"name":"a"}]}', 'destinations[0].type'],
    ['{"rules":[{"levle":"info"}]}', 'rules[0].levle'],
  ] as const;
  for (const [bad, reason] of refused) {
    await write(bad);
    process.kill(collector.pid, 'SIGHUP');
    await until(
      () => collector.output(),
      (output) => output.includes('the pipelines stay as they are') && output.includes(reason),
    );
  }
  const seenBefore = first.seen.length;
  await until(
    () => first.seen.length,
    (count) => count > seenBefore,
  );
  first.answerWith(() => ({ status: 200 }));
  // Records come in until the last change is over, however long a busy machine takes for it.
  const changing = { isOver: false };
  const ids: string[] = [];
  const publishing = (async () => {
    while (!changing.isOver) {
      const lines = Array.from({ length: 20 }, (_, index) => `line-${ids.length + index}-end`);
      ids.push(...lines);
      await publish(
        'log',
        lines.map((message) => ({ message })),
      );
    }
  })();
  // Meanwhile it goes to another place and back, again and again.
  for (let round = 0; round < 6; round += 1) {
    const place = round % 2 === 0 ? second : first;
    await write({
      destinations: [to('main', place)],
      rules: [{ level: 'debug', sources: [`round-${round}`] }],
    });
    process.kill(collector.pid, 'SIGHUP');
    await until(
      () => collector.output().split('the pipelines have changed').length - 1,
      (count) => count > round,
    );
    // Each place is in use before the next change, the last one too.
    const acceptedBefore = place.accepted.length;
    await until(
      () => place.accepted.length,
      (count) => count > acceptedBefore,
    );
  }
  changing.isOver = true;
  await publishing;
  await empty();
  const everywhere = text(first) + text(second);
  expect([...ids, 'held-back'].filter((id) => !everywhere.includes(id))).toEqual([]);
});

test('a changed file is noticed without a signal, and a destination that is gone is not waited for', async () => {
  first.answerWith(() => ({ status: 503 }));
  await start({ destinations: [to('dead', first), to('alive', second)] });
  await publish('log', { message: 'waits for the dead' });
  await until(
    () => first.seen.length,
    (count) => count >= 1,
  );
  expect(await cluster.streamMessages()).toBe(1);
  await write({ destinations: [to('alive', second)] });
  await empty();
  expect(times(second, 'waits for the dead')).toBe(1);
});

test('a file gets lines of OTLP JSON, and a stream OTLP in protobuf', async () => {
  const manager = await cluster.service.manager();
  await manager.streams.add({ name: 'COPIES', subjects: ['copies.>'] });
  const path = join(folder, 'out', 'telemetry.jsonl');
  const collector = await start({
    destinations: [
      { name: 'disk', type: 'file', path },
      { name: 'bus', type: 'nats', subject: 'copies.otlp' },
    ],
  });
  await publish('log', { message: 'kept twice', attributes: { id: 7 } });
  await empty();
  await collector.kill();
  // A crash may leave a part of a line.
  await writeFile(path, '{"resourceLogs":[{"half', { flag: 'a' });
  await startAgain();
  await publish('log', { message: 'after the crash' });
  await empty();
  const lines = (await readFile(path, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(lines).toMatchObject([
    { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'kept twice' } }] }] }] },
    { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'after the crash' } }] }] }] },
  ]);
  const copy = await manager.streams.getMessage('COPIES', { last_by_subj: 'copies.otlp.logs' });
  expect(Buffer.from(copy?.data ?? []).toString('latin1')).toContain('after the crash');
});

test('a collector does not start with a file that it cannot follow, and says which field is wrong', async () => {
  await write('{"destinations":[{"name":"a","type":"otlp-http"}]}');
  const started = startService('telemetry-collector', {
    ...natsEnvironment(cluster.server),
    TRIVET_DATA: join(folder, 'data'),
    TRIVET_TELEMETRY_PIPELINES: file,
  });
  await expect(started).rejects.toThrow('ended with 2 before it served');
  await expect(started).rejects.toThrow('destinations[0].endpoint is missing: otlp-http needs it');
});
