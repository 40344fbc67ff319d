import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '#shared/runtime/clock.ts';
import { type Chunk, itemsIn, requestOf } from '#services/telemetry-collector/core/otlp-chunks.ts';
import { pipelinesOf } from '#services/telemetry-collector/core/pipelines.ts';
import { readOtlp } from '#services/telemetry-collector/core/read-otlp.ts';
import { Rules } from '#services/telemetry-collector/core/rules.ts';
import { type JsonMessage, bytesOf, bytesOfRequest } from '#services/telemetry-collector/core/otlp-json.ts';
import { BackwardWriter, ProtobufReader } from '#services/telemetry-collector/core/protobuf.ts';
import { FileSender } from '#services/telemetry-collector/file-sender.ts';
import { OtlpHttpSender } from '#services/telemetry-collector/otlp-http.ts';
import { Loading } from '#services/telemetry-collector/loading.ts';
import { OtlpEncoding } from '#services/telemetry-collector/otlp-encoding.ts';

/** A field of type bytes, shorter than 128 bytes. */
const field = (number: number, value: Uint8Array | string): Buffer => {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
};

// 0xff is in no text in UTF-8.
const notText = Buffer.from([0x61, 0xff]);
const logRecord = field(2, field(5, field(1, 'line')));
const good = field(1, field(2, logRecord));
const badResource = field(
  1,
  Buffer.concat([
    field(1, field(1, Buffer.concat([field(1, 'service.name'), field(2, field(1, notText))]))),
    field(2, logRecord),
  ]),
);
const badScope = field(1, field(2, Buffer.concat([field(1, field(1, notText)), logRecord])));

const noRules = new Rules({}, 'debug');
const read = (body: Uint8Array, rules = noRules, signal: 'logs' | 'metrics' = 'logs') =>
  readOtlp({ signal, contentType: undefined, body }, { rules, sequence: 1 });
const kept = (chunks: readonly Chunk[] | undefined) => requestOf(chunks ?? []).toString();

test.each([
  ['resource', badResource],
  ['scope', badScope],
])('items whose %s no receiver could read are dead letters, and their neighbours are not', (_what, bad) => {
  const { otlp, dead } = read(Buffer.concat([good, bad, good]));
  expect(dead.map(({ index, message }) => [index, message])).toEqual([
    [1, expect.stringContaining('is not UTF-8')],
  ]);
  expect(kept(otlp?.chunks)).toBe(Buffer.concat([good, good]).toString());
});

test('a filter by source has nothing to do with what cannot be read', () => {
  const pipelines = pipelinesOf(
    { destinations: [{ name: 'one', type: 'file', path: '/tmp/x', filter: { sources: ['shop'] } }] },
    { levelMin: 'debug', env: {}, ownSubjects: 'x', webhookOrigins: [] },
  );
  const plan = pipelines.ok ? pipelines.value.destinations?.[0] : undefined;
  if (plan === undefined) throw new Error('no plan');
  const loading = new Loading(read(badResource), new OtlpEncoding('one'));
  expect(loading.parcels(plan)).toEqual([]);
});

test('a severity that is below zero goes through redaction as it is', () => {
  // An enum is an int32: -1 is ten bytes.
  const severity = Buffer.from([2 << 3, ...Array.from({ length: 9 }, () => 0xff), 0x01]);
  const body = field(1, field(2, field(2, Buffer.concat([severity, field(5, field(1, 'line'))]))));
  const { otlp, dead } = read(body, new Rules({ redact: { attributes: ['secret'] } }, 'debug'));
  expect(dead).toEqual([]);
  expect(kept(otlp?.chunks)).toBe(body.toString());
});

test('a point whose packed numbers end too early is a dead letter alone', () => {
  // Metric → exponential histogram → point → positive → bucket counts: a varint that goes on behind its end.
  const point = field(8, field(2, Buffer.from([0x80])));
  const bad = field(2, field(10, field(1, point)));
  const fine = field(2, field(1, 'fine'));
  const body = field(1, field(2, Buffer.concat([fine, bad])));
  const { otlp, dead } = read(body, new Rules({ redact: { attributes: ['secret'] } }, 'debug'), 'metrics');
  expect(dead.map(({ index }) => index)).toEqual([1]);
  expect(itemsIn(otlp?.chunks ?? [])).toBe(1);
});

test('a resource is looked into once, however many scopes it has', () => {
  const many = 300;
  const attributes = Array.from({ length: many }, () => ({ key: 'a', value: { stringValue: 'b' } }));
  const scopeLogs = Array.from({ length: many }, () => ({ logRecords: [{ severityNumber: 9 }] }));
  const request = { resourceLogs: [{ resource: { attributes }, scopeLogs }] };
  const body = bytesOfRequest('logs', request);
  const fieldsRead = vi.spyOn(ProtobufReader.prototype, 'next');
  onTestFinished(() => fieldsRead.mockRestore());
  expect(itemsIn(read(body).otlp?.chunks ?? [])).toBe(many);
  expect(fieldsRead.mock.calls.length).toBeLessThan(100 * many);
});

test('a resource that cannot be read spoils all of its scopes, and not the next resource', () => {
  const scope = field(2, logRecord);
  const attribute = Buffer.concat([field(1, 'a'), field(2, field(1, notText))]);
  const spoiled = field(1, Buffer.concat([field(1, field(1, attribute)), scope, scope]));
  const { dead, otlp } = read(Buffer.concat([good, spoiled, good]));
  expect(dead.map(({ index }) => index)).toEqual([1, 2]);
  expect(kept(otlp?.chunks)).toBe(Buffer.concat([good, good]).toString());
});

test('a severity below zero is understood in JSON, too', () => {
  const request = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ severityNumber: -1 }] }] }] };
  expect(read(bytesOfRequest('logs', request)).dead).toEqual([]);
});

test('what is nested more deeply than JSON can have it is refused, and does not hold up its lane for ever', async () => {
  // As deep as a log record may be; the request around it is three levels more.
  let value: object = { stringValue: 'deep' };
  for (let depth = 0; depth < 49; depth += 1) value = { arrayValue: { values: [value] } };
  const body = requestOf(read(nestedRequest(value)).otlp?.chunks ?? []);
  expect(body.length).toBeGreaterThan(0);
  const folder = await mkdtemp(join(tmpdir(), 'trivet-deep-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = new FileSender({ type: 'file', path: join(folder, 'x'), rotateBytes: 1e6, filesMax: 1 });
  const target = { url: 'http://127.0.0.1:9', headers: {}, gzip: false, timeoutMs: 1_000 };
  const http = new OtlpHttpSender(
    { type: 'otlp-http', encoding: 'json', targets: { logs: target } },
    systemClock,
  );
  for (const sender of [file, http])
    expect(await sender.send('logs', body)).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('nested') as string,
    });
  file.close();
  http.close();
});

/** A request with one log record, by hand: as JSON it would be refused. */
function nestedRequest(value: object): Uint8Array {
  const record = bytesOf('LogRecord', { body: value as JsonMessage }, 2);
  const wrapped = (inner: Uint8Array, number: number) => {
    const writer = new BackwardWriter();
    writer.raw(inner);
    writer.delimit(number, 0);
    return writer.take();
  };
  return wrapped(wrapped(record, 2), 1);
}
