import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nameTest } from '#services/telemetry-collector/core/globs.ts';
import { pipelinesOf } from '#services/telemetry-collector/core/pipelines.ts';
import { Rules, isSampled } from '#services/telemetry-collector/core/rules.ts';

const context = {
  levelMin: 'debug',
  env: { KEY: 'k-1' },
  ownSubjects: 'trivet.otlp.v1',
  webhookOrigins: ['https://hooks.example.org'],
} as const;
const faultOf = (given: unknown): string => {
  const read = pipelinesOf(given, context);
  return read.ok ? '' : read.error.message;
};
const http = { name: 'a', type: 'otlp-http', endpoint: 'http://127.0.0.1:4318/' };

test.each([
  [
    { destinations: [{ name: 'a', type: 'otlp-http' }] },
    'destinations[0].endpoint is missing: otlp-http needs it',
  ],
  [
    { destinations: [{ name: 'a', type: 'file', path: 'x', subject: 'y' }] },
    'destinations[0].subject is no field of file',
  ],
  [
    { destinations: [{ name: 'a', type: 'nats', subject: 'trivet.otlp.v1' }] },
    'destinations[0].subject must not be trivet.otlp.v1: it would come back for ever',
  ],
  [
    { destinations: [{ ...http, endpoint: 'localhost:4318' }] },
    'destinations[0].endpoint must be a URL that begins with http:// or https://',
  ],
  [
    { destinations: [{ ...http, timeout: '0ms' }] },
    'destinations[0].timeout must be between 1 ms and 10 minutes',
  ],
  [
    { destinations: [{ ...http, headers: { 'x-key': '${NONE}' } }] },
    'destinations[0].headers.x-key names NONE, which is not in the environment',
  ],
  [{ destinations: [http, http] }, 'destinations[1].name must be another: there are two a'],
  [{ destinations: [{ ...http, colour: 'red' }] }, 'destinations[0].colour is not a known field'],
  [{ redact: { patterns: [{ pattern: '(' }] } }, 'redact.patterns[0].pattern must be a regular expression'],
  [{ redact: { patterns: [{ pattern: 'a*' }] } }, 'redact.patterns[0].pattern must not match the empty text'],
  [{ rules: [{ sample: 2 }] }, 'rules[0].sample must be a number from 0 to 1'],
  [{ rules: [{ kinds: ['traces'] }] }, 'rules[0].kinds[0] must be one of'],
  [[], 'body must be an object {destinations?, rules?, redact?, enrich?, alerts?}'],
])('%j is refused: %s', (given, problem) => {
  expect(faultOf(given)).toContain(problem);
});

test('a header names variables of the environment, and no secret stands in the file', () => {
  const read = pipelinesOf({ destinations: [{ ...http, headers: { 'X-Key': 'Bearer ${KEY}' } }] }, context);
  expect(read).toMatchObject({
    value: {
      destinations: [
        {
          required: true,
          connection: {
            targets: { logs: { url: 'http://127.0.0.1:4318/v1/logs', headers: { 'x-key': 'Bearer k-1' } } },
          },
        },
      ],
    },
  });
});

test('without destinations in the file the environment says where OTLP goes', () => {
  expect(pipelinesOf({}, context)).toMatchObject({ ok: true, value: { destinations: undefined } });
});

test('a star stands for any characters, and for nothing else', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 });
  const glob = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(glob, text, (pattern, name) => {
      const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
      expect(nameTest([pattern])(name)).toBe(expression.test(name));
    }),
  );
});

test('of several rules the first one that says something counts', () => {
  const rules = new Rules(
    {
      rules: [
        { sources: ['shop'], kinds: ['log'], level: 'error' },
        { sources: ['shop'], level: 'info', sample: 0.5 },
        { sample: 0.1 },
      ],
      enrich: [{ attributes: { a: 1 } }, { sources: ['shop'], attributes: { a: 2, b: 3 } }],
    },
    'debug',
  );
  expect(rules.verdict('shop', 'log')).toEqual({ level: 'error', sample: 0.5, extra: { a: 1, b: 3 } });
  expect(rules.verdict('other', 'event')).toEqual({ level: 'debug', sample: 0.1, extra: { a: 1 } });
});

test('sampling keeps about the share that is wanted, and all records of a trace or none', () => {
  const kept = (share: number) =>
    Array.from({ length: 20_000 }, (_, index) => isSampled(share, undefined, index >> 4, index & 15)).filter(
      Boolean,
    ).length;
  expect(kept(0.25) / 20_000).toBeCloseTo(0.25, 1);
  expect([kept(0), kept(1)]).toEqual([0, 20_000]);
  const traces = Array.from(
    { length: 2_000 },
    (_, index) =>
      `${'0'.repeat(19)}${((index * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0')}00000`,
  );
  const share = traces.filter((trace) => isSampled(0.5, trace, 1, 1)).length / traces.length;
  expect(share).toBeCloseTo(0.5, 1);
  for (const trace of traces) expect(isSampled(0.5, trace, 1, 1)).toBe(isSampled(0.5, trace, 99, 7));
});
