import { readFileSync } from 'node:fs';
import { zipfDraws } from '#tests/bench/cache/zipf.ts';
import type { Trace } from './simulate-cache.ts';

export interface NamedTrace {
  readonly name: string;
  readonly trace: Trace;
}

/** Keys as numbers, in the order in which they are met. */
export function traceOf(keys: readonly string[]): Trace {
  const numbers = new Map<string, number>();
  return Int32Array.from(keys, (key) => {
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, numbers.size);
    return numbers.size - 1;
  });
}

/** A file of keys, one a line, in the order in which they were asked for. */
export function traceFile(path: string): NamedTrace {
  const keys = readFileSync(path, 'utf8')
    .split(/\r?\n/)
    .filter((line) => line !== '');
  if (keys.length === 0) throw new Error(`${path} holds no keys: one a line is expected`);
  return { name: path, trace: traceOf(keys) };
}

const keys = 100_000;
const count = 1_000_000;

/** What is replayed where no file is named. */
export const generatedTraces = (): readonly NamedTrace[] => [
  { name: 'zipf-0.7', trace: zipfDraws({ keys, count, exponent: 0.7, seed: 1 }) },
  { name: 'zipf-0.99', trace: zipfDraws({ keys, count, exponent: 0.99, seed: 2 }) },
  { name: 'zipf-0.99 with scans', trace: withScans(zipfDraws({ keys, count, exponent: 0.99, seed: 3 })) },
  { name: 'zipf-0.99 that drifts', trace: drifting(zipfDraws({ keys, count, exponent: 0.99, seed: 4 })) },
];

/** After every 50,000 requests 10,000 keys that nobody asks for again. */
function withScans(trace: Trace): Trace {
  const every = 50_000;
  const scan = 10_000;
  const rounds = Math.floor(trace.length / every);
  const mixed = new Int32Array(rounds * (every + scan));
  for (let round = 0; round < rounds; round += 1) {
    const at = round * (every + scan);
    mixed.set(trace.subarray(round * every, (round + 1) * every), at);
    for (let n = 0; n < scan; n += 1) mixed[at + every + n] = keys + round * scan + n;
  }
  return mixed;
}

/** What is popular becomes another key with time: the whole popularity moves on over the keys, step by step. */
const drifting = (trace: Trace): Trace => trace.map((key, at) => (key + Math.floor(at / 20)) % keys);
