import { expect, test } from 'vitest';
import { readPartialJson } from '#services/telemetry-collector/otlp-encoding.ts';

test.each([
  ['3', 3],
  ['"3"', 3],
  ['null', 0],
  ['-3', 0],
  ['"some"', 0],
  ['{}', 0],
])('a success that refuses %s of its records refuses %i', (given, rejected) => {
  const body = Buffer.from(`{"partialSuccess":{"rejectedLogRecords":${given}}}`);
  expect(readPartialJson.logs(body).rejected).toBe(rejected);
});
