import { Packr } from 'msgpackr';
import type { SeededRandom } from '#tests/support/seeded-random.ts';

// Bytes that are nearly right: what gets past the first check and into the second.

const packr = new Packr({ useRecords: false });

/** Bodies that some operation would take. */
const samples: readonly unknown[] = [
  { payload: { to: 'a' }, priority: 'high', delay: '1s', maxAttempts: 3, key: 'k', headers: { h: '1' } },
  { items: [{ payload: 1 }, { payload: 'two', group: 'g' }, { payload: null, runAt: 1_780_000_000_000 }] },
  { queue_name: 'fuzz', payload: [1, 2.5, null], max_retries: 2, idempotency_key: 'k' },
  { max: 2, wait: '100ms', lease: '1s', worker: 'w' },
  { id: '0-1', token: 1, result: { a: 1 }, fetch: { max: 1, lease: '1s' } },
  { id: '0-1', token: 1, error: { message: 'm', type: 'T' }, retry: true, delay: '1s' },
  { id: '0-1', token: 1, lease: '1s', progress: 0.5 },
  { id: '0-1' },
  { state: 'failed', limit: 5 },
  { all: true, limit: 3 },
  { maxAttempts: 3, backoff: 'fixed:5s', concurrency: { total: 2 }, retention: { done: { age: '1h' } } },
  { payload: 1, children: [{ queue: 'fuzz', payload: 2, children: [{ queue: 'fuzz', payload: 3 }] }] },
  { schedules: { nightly: { cron: '0 3 * * *', payload: 1 } } },
  { key: 'k', value: { a: [1] }, ttl: '5m', tags: ['t'], ifVersion: 1 },
  { operation: 'set', namespace: 'fuzz', key: 'k', value: 1 },
  { keys: ['a', 'b', 'c'] },
  { key: 'n', by: 2 },
  { prefix: 'k', limit: 10 },
  { type: 'metric', name: 'm', value: 1, metric_type: 'counter', tags: { a: 'b' } },
  [
    { name: 'm', value: 1 },
    { message: 'hello', level: 'error' },
  ],
  { operation: 'checkout', durationMs: 3, success: true },
  { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'x' } }] }] }] },
  {},
  [],
  null,
  'text',
];

/** Values that programs trip over. */
const oddities: readonly string[] = [
  '__proto__',
  'constructor',
  '-1',
  '1e999',
  '9007199254740993',
  '9'.repeat(400),
  'true',
  'null',
  '\u0000',
  '\ud800',
  '\uffff',
  '%00',
  '../..',
  '*',
  '>',
  '$SYS',
  '[['.repeat(600),
  '{"a":'.repeat(600),
  ' '.repeat(2_000),
  '"'.repeat(50),
  'x'.repeat(70_000),
];

/** A body: right, nearly right, or noise. */
export function fuzzedBody(random: SeededRandom): Buffer {
  const kind = random.integer(0, 9);
  if (kind === 0) return noise(random);
  const sample = random.pick(samples);
  if (kind === 1) return Buffer.from(packr.pack(sample));
  const text = Buffer.from(JSON.stringify(sample));
  if (kind === 2) return text;
  if (kind === 3) return mutated(random, Buffer.from(packr.pack(sample)));
  return mutated(random, text);
}

const noise = (random: SeededRandom): Buffer =>
  Buffer.from(Array.from({ length: random.integer(0, 300) }, () => random.integer(0, 255)));

/** One to four changes: a bit, a byte, a part that is lost, doubled or taken the place of by an oddity. */
export function mutated(random: SeededRandom, bytes: Buffer): Buffer {
  let now = bytes;
  for (let change = random.integer(1, 4); change > 0; change -= 1) {
    const at = random.integer(0, now.length);
    const length = random.integer(0, Math.min(20, now.length - at));
    const [before, part, after] = [
      now.subarray(0, at),
      now.subarray(at, at + length),
      now.subarray(at + length),
    ];
    const put = [
      () => Buffer.from([random.integer(0, 255)]),
      () => Buffer.concat([part, part]),
      () => Buffer.alloc(0),
      () => Buffer.from(random.pick(oddities)),
      () => Buffer.from(part.map((byte) => byte ^ (1 << random.integer(0, 7)))),
    ];
    now = Buffer.concat([before, random.pick(put)(), after]);
  }
  return now;
}

export const oddText = (random: SeededRandom): string => random.pick(oddities);

/** The value of a header: one line of what a header may hold. */
export const headerText = (random: SeededRandom): string =>
  (random.chance(0.5)
    ? random.pick(['application/json', 'application/msgpack', 'text/plain', 'gzip', '5s', 'high', '1', '*/*'])
    : oddText(random).slice(0, 300)
  ).replaceAll(/[^\x20-\x7e]/g, '?');
