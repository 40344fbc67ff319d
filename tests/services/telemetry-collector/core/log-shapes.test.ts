import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LogEntry, MessageContext } from '#services/telemetry-collector/core/interpret.ts';
import { LogRecordEncoder } from '#services/telemetry-collector/core/otlp-log-records.ts';
import { type Known, nothingKnown, readMessage } from '#services/telemetry-collector/core/read-message.ts';
import type { ReadMessage } from '#services/telemetry-collector/core/reading.ts';
import { Rules } from '#services/telemetry-collector/core/rules.ts';
import { ScannedLog } from '#services/telemetry-collector/core/scanned-log.ts';

// The quick way is right when nobody can tell that it was taken: every message is read both ways, and everything that
// is kept, sent, left out and refused must be the same.

const plainRules = new Rules({}, 'debug');
const encoder = new LogRecordEncoder();

const contextOf = (rules: Rules): MessageContext => ({
  sequence: 7,
  receivedMs: 1_770_000_000_123,
  origin: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 },
  rules,
});

const read = (text: string | Uint8Array, rules: Rules, known?: Known): ReadMessage =>
  readMessage(
    { kind: 'log', contentType: undefined, body: typeof text === 'string' ? Buffer.from(text) : text },
    contextOf(rules),
    known,
  );

const scannedIn = ({ kept }: ReadMessage): number =>
  kept.filter(({ entry }) => entry instanceof ScannedLog).length;

/** Everything that anybody can see of it. */
function seen(message: ReadMessage) {
  const { kind, kept, dead, filtered, sampled, filteredExample, lettersOf } = message;
  const placed = kept.map(({ index, entry }) => ({ index, entry: entry as LogEntry }));
  const logs = placed.map(({ index, entry }) => {
    const { kind: entryKind, source, level, body, attributes, atMs, receivedMs, origin } = entry;
    const attributesInOrder = Object.entries(attributes);
    return { index, entryKind, source, level, body, attributesInOrder, atMs, receivedMs, origin };
  });
  // What is encoded first is encoded from the bytes as they came; the text of a chunk compares well.
  const chunks = encoder.chunks(placed).map((chunk) => ({
    ...chunk,
    resource: Buffer.from(chunk.resource).toString('hex'),
    scope: Buffer.from(chunk.scope).toString('hex'),
    items: Buffer.from(chunk.items).toString('hex'),
  }));
  const letters = lettersOf(
    kept.map(({ index }) => index),
    'refused_by_destination',
    'no',
  );
  return { kind, logs, chunks, dead, filtered, sampled, filteredExample, letters };
}

function expectTheSame(messages: readonly (string | Uint8Array)[], rules: Rules): number {
  const known = nothingKnown();
  let scanned = 0;
  let before: { readonly message: string | Uint8Array; readonly quick: ReadMessage } | undefined;
  for (const message of messages) {
    const quick = read(message, rules, known);
    scanned += scannedIn(quick);
    expect(seen(quick)).toEqual(seen(read(message, rules)));
    // And the one before, whose memory this one has taken.
    if (before !== undefined) expect(seen(before.quick)).toEqual(seen(read(before.message, rules)));
    before = { message, quick };
  }
  return scanned;
}

const usualText = fc
  .string({ unit: 'grapheme-ascii', maxLength: 60 })
  .map((text) => `"${text.replaceAll(/["\\]/g, '')}"`);
const oddText = fc.oneof(
  fc.string({ maxLength: 20 }).map((text) => JSON.stringify(text)),
  fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => JSON.stringify(text)),
  fc.constantFrom('""', '"a\\u0062c"', '"\\ud800"', '"tab\there"', '"open', '"\\""', '"\\\\"', '"\u007f"'),
  fc.constantFrom(`"${'x'.repeat(300)}"`, `"${'y'.repeat(32_769)}"`),
);
const usualNumber = fc.oneof(
  fc.integer().map(String),
  fc.integer().map((one) => String(one / 64)),
);
const oddNumber = fc.oneof(
  fc.double({ noDefaultInfinity: true, noNaN: true }).map(String),
  fc.constantFrom('-0', '0.1', '12.50', '1e3', '9007199254740993', '123456789012345.6', '1e999', '1.0'),
  fc.constantFrom('01', '1.', '.5', '+1', '-', '--1', '1 2'),
);
const usualBoolean = fc.constantFrom('true', 'false');
const oddValue = fc.constantFrom('null', '{}', '[1,"a"]', '{"deep":{"er":[1]}}', 'tru', 'trues', '');
const odd = fc.oneof(oddText, oddNumber, oddValue, usualText, usualNumber, usualBoolean);
const mostly = (usual: fc.Arbitrary<string>, weight = 30) =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: odd });

const usualNames = fc.constantFrom('id', 'path', 'ok', 'took', 'a b', 'größe');
const oddNames = fc.constantFrom('1', '__proto__', '', 'x\\u0079', 'id');
const attribute = fc.record({
  name: fc.oneof({ weight: 20, arbitrary: usualNames }, oddNames),
  value: fc.constantFrom(mostly(usualText), mostly(usualNumber), mostly(usualBoolean)),
});

// A line of a program: names in their order, with spaces or without.
const line = fc.record({
  members: fc
    .subarray(['level', 'source', 'timestamp', 'attributes'])
    .chain((others) => fc.shuffledSubarray(['message', ...others], { minLength: others.length + 1 })),
  other: fc.oneof(
    { weight: 20, arbitrary: fc.constant('') },
    fc.constantFrom('"other":1', '"message":"again"'),
  ),
  attributes: fc.uniqueArray(attribute, { maxLength: 5, selector: ({ name }) => name }),
  space: fc.constantFrom('', ' ', '\n\t'),
});
type Line = typeof line extends fc.Arbitrary<infer T> ? T : never;

/** Records of one line, each with other values; now and then one that is broken. */
const recordsOf = ({ members, attributes, space, other }: Line) =>
  fc.array(
    fc
      .record({
        message: mostly(usualText),
        level: mostly(fc.constantFrom('"debug"', '"info"', '"warning"', '"error"')),
        source: mostly(fc.constantFrom('"shop"', '"mill"')),
        timestamp: mostly(
          fc.oneof(
            fc.nat(4_102_444_800_000).map(String),
            fc.constantFrom('"2026-01-31T12:00:00Z"', '"2026-01-31T12:00:00.123+02:00"'),
          ),
        ),
        values: fc.tuple(...attributes.map(({ value }) => value)),
      })
      .map(({ values, ...own }) => {
        const inner = attributes.map(({ name }, index) => `"${name}":${space}${values[index] ?? '1'}`);
        const texts: Readonly<Record<string, string>> = {
          ...own,
          attributes: `{${inner.join(`,${space}`)}}`,
        };
        const written = members.map((name) => `"${name}"${space}:${texts[name] ?? ''}`);
        return `{${space}${[...written, ...(other === '' ? [] : [other])].join(`${space},`)}${space}}`;
      }),
    { minLength: 1, maxLength: 12 },
  );

const messages = fc
  .array(line, { minLength: 1, maxLength: 3 })
  .chain((lines) => fc.array(fc.oneof(...lines.map(recordsOf)), { minLength: 1, maxLength: 6 }))
  .chain((all) =>
    fc.tuple(
      ...all.map((records) =>
        fc.oneof(
          { weight: 9, arbitrary: fc.constant(`[${records.join(',')}]`) },
          fc.constantFrom(
            ` [ ${records.join(' , ')} ] `,
            records[0] ?? '',
            `[${records.join(',')}`,
            `[${records.join(',')},]`,
          ),
        ),
      ),
    ),
  );

const rules = fc.constantFrom(
  plainRules,
  new Rules({}, 'warning'),
  new Rules({ rules: [{ sources: ['shop'], level: 'error' }] }, 'info'),
  new Rules({ rules: [{ sources: ['mill'], sample: 0.5 }] }, 'debug'),
  new Rules({ enrich: [{ sources: ['shop'], attributes: { region: 'eu', id: 1 } }] }, 'debug'),
  new Rules({ redact: { attributes: ['path'], patterns: [{ pattern: 'a+' }] } }, 'debug'),
);

test('a message comes to the same whether its records are found by their shapes or decoded', () => {
  let scanned = 0;
  fc.assert(
    fc.property(messages, rules, (all, given) => {
      scanned += expectTheSame(all, given);
    }),
    { numRuns: 1_500 },
  );
  // Else nothing was compared.
  expect(scanned).toBeGreaterThan(1_000);
});

test('any byte that is another one comes to the same', () => {
  const record = (id: number) =>
    `{"message":"order ${id}","level":"info","source":"shop","timestamp":17000000000${id},"attributes":{"id":${id},"ok":true,"share":0.5,"path":"/o"}}`;
  const message = `[${record(10)},${record(11)},${record(12)}]`;
  fc.assert(
    fc.property(fc.nat(message.length - 1), fc.nat(255), (place, byte) => {
      const changed = Buffer.from(message);
      changed[place] = byte;
      expectTheSame([message, changed, message], plainRules);
    }),
    { numRuns: 3_000 },
  );
});

test('records of one line are decoded once, whatever their values are', () => {
  const known = nothingKnown();
  const body = (first: number) =>
    JSON.stringify(
      Array.from({ length: 100 }, (_, index) => ({
        message: `line ${first + index}`,
        attributes: { id: first + index, ok: index % 2 === 0, took: index / 8, path: `/${index}` },
      })),
    );
  expect(scannedIn(read(body(0), plainRules, known))).toBe(99);
  expect(scannedIn(read(body(100), plainRules, known))).toBe(100);
  expect(known.log.size).toBe(1);
});

test('a producer that never says the same is decoded as a whole, and looked at less and less', () => {
  const known = nothingKnown();
  const body = (first: number) =>
    JSON.stringify(
      Array.from({ length: 20 }, (_, index) => ({
        message: 'm',
        attributes: { [`name-${first + index}`]: 1 },
      })),
    );
  for (let message = 0; message < 100; message += 1)
    expect(read(body(message * 20), plainRules, known).kept).toHaveLength(20);
  // Who says the same again is found again after that.
  let found = 0;
  const steady = JSON.stringify(
    Array.from({ length: 20 }, (_, id) => ({ message: 'm', attributes: { id } })),
  );
  for (let message = 0; message < 300; message += 1) found += scannedIn(read(steady, plainRules, known));
  expect(found).toBeGreaterThan(0);
});
