import { expect, test } from 'vitest';

import { formatLogLine, isDecoration } from '#services/cli/log-lines.ts';

const at = '2026-01-02T03:04:05.678Z';
const text = { json: false, colour: false, secrets: [] };
const json = { ...text, json: true };

test('a JSON line of a service becomes a line for people, with its fields at the end', () => {
  const line =
    '{"level":"warn","time":"2026-01-02T03:04:05.111Z","pid":1,"name":"x","msg":"slow","ms":12,"to":"a"}';
  expect(formatLogLine({ from: 'cache-node-1', text: line, at }, text)).toBe(
    '03:04:05.111 cache-node-1          │ WARN slow ms=12 to=a',
  );
});

test('an error is shown with its stack', () => {
  const line = JSON.stringify({
    level: 'error',
    msg: 'failed',
    err: { message: 'no', stack: 'Error: no\n    at x' },
  });
  expect(formatLogLine({ from: 'gateway-1', text: line, at }, text)).toContain(
    'ERROR failed: Error: no\n    at x',
  );
});

test('a line of nats-server keeps its own time and level', () => {
  const line = '[17] 2026/11/23 02:08:50.052122 [ERR] Error listening on port';
  expect(formatLogLine({ from: 'nats-server', text: line, at }, text)).toBe(
    '02:08:50.052 nats-server           │ ERROR Error listening on port',
  );
});

test('what is neither is shown as it came', () => {
  for (const line of ['{not json', '(node:1) Warning: something', '{"level":30,"msg":"numbers"}'])
    expect(formatLogLine({ from: 'gateway-1', text: line, at }, text)).toBe(
      `03:04:05.678 gateway-1             │ ${line}`,
    );
});

test('as JSON every line has level, time, name and message', () => {
  const line = '[17] 2026/11/23 02:08:50.052122 [INF] Server is ready';
  expect(JSON.parse(formatLogLine({ from: 'nats-server', text: line, at }, json))).toEqual({
    level: 'info',
    time: '2026-11-23T02:08:50.052Z',
    name: 'nats-server',
    msg: 'Server is ready',
  });
});

test('a secret is masked wherever it turns up', () => {
  const style = { ...text, secrets: ['s3cret'] };
  const line = '{"level":"info","msg":"Bearer s3cret","header":{"x":"s3cret"}}';
  expect(formatLogLine({ from: 'gateway-1', text: line, at }, style)).not.toContain('s3cret');
  expect(formatLogLine({ from: 'gateway-1', text: 's3cret', at }, { ...style, json: true })).not.toContain(
    's3cret',
  );
});

test('colours are there only where they were asked for', () => {
  const line = { from: 'gateway-1', text: '{"level":"error","msg":"x"}', at };
  expect(formatLogLine(line, { ...text, colour: true })).toContain('\u001b[31mERROR');
  expect(formatLogLine(line, text)).not.toContain('\u001b');
});

test('the banner of nats-server is decoration, what it says is not', () => {
  const prefix = '[10727] 2026/11/23 02:08:50.054046 [INF]';
  for (const line of [
    '     _ ___ _____ ___ _____ ___ ___   _   __  __',
    '  _ | | __|_   _/ __|_   _| _ \\ __| /_\\',
    ' ',
    '',
  ])
    expect(isDecoration(prefix + line)).toBe(true);
  for (const line of [
    'Starting nats-server',
    '  Version:  2.12.2',
    '---------------- JETSTREAM ----------------',
    'Using configuration file: /nats.conf (sha256:1)',
    'Listening for client connections on 127.0.0.1:4222',
  ])
    expect(isDecoration(`${prefix} ${line}`)).toBe(true);
  const warning = prefix.replace('INF', 'WRN');
  expect(
    isDecoration(`${warning} Plaintext passwords detected, use nkeys or bcrypt`),
    'a password made for this start alone',
  ).toBe(true);
  expect(isDecoration(`${warning} Filestore is slow`)).toBe(false);
  expect(isDecoration(`${prefix} Server is ready`)).toBe(false);
  expect(isDecoration('[10727] 2026/11/23 02:08:50.054046 [WRN] ')).toBe(false);
});
