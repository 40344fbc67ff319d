import { Namespaces } from '#services/cache-node/core/namespaces.ts';
import { median } from '#tests/bench/measure.ts';
import { rssAnonMiB } from '#tests/bench/process-figures.ts';

// Fills one process with entries and says what they cost it: `node --expose-gc memory-main.ts trivet|map ENTRIES`.

const warmUpRounds = 100;
/** Key and value together. */
const dataBytes = 100;
const key = (n: number): string => `key:${String(n).padStart(10, '0')}`;
const valueBytes = dataBytes - key(0).length;

const [side, entriesText] = process.argv.slice(2);
const entries = Number(entriesText);
const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error('run with --expose-gc');

const fill = side === 'map' ? mapFilling() : trivetFilling();
// The young generation and the compiled code grow to their size first: they are not the entries' cost.
fill.warmUp();
collect();
const before = rssAnonMiB(process.pid) ?? 0;
fill.run();
const collectMs = [1, 2, 3, 4, 5].map(() => timed(collect));
const after = rssAnonMiB(process.pid) ?? 0;
const overhead = ((after - before) * 1_048_576) / entries - dataBytes;
process.stdout.write(
  JSON.stringify({ collectMs: median(collectMs), overhead, rssMiB: after, found: fill.found() }),
);

/** Milliseconds of CPU: others may run on the machine. */
function timed(work: () => void): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1_000;
}

function trivetFilling() {
  let version = 0;
  const namespaces = new Namespaces({
    versions: { next: () => (version += 1), raise: () => undefined },
    bytesMax: Number.MAX_SAFE_INTEGER,
    epoch: 'bench',
    random01: Math.random,
    hashSecret: [1, 2],
  });
  const bytes = Buffer.alloc(valueBytes, 'x');
  const set = (name: string, count: number, from: number): void => {
    const opened = namespaces.open(name);
    if (!opened.ok) throw new Error(opened.error.message);
    opened.value.configure({ entriesMax: count, bytesMax: Number.MAX_SAFE_INTEGER }, 0);
    for (let n = 0; n < count; n += 1) {
      const value = { encoding: 'application/json' as const, bytes, rawBytes: 0 };
      const given = { ttlMs: undefined, sliding: false, graceMs: undefined, tags: [], loadToken: undefined };
      opened.value.set({ key: key(from + n), value, condition: { kind: 'always' }, ...given }, 0);
    }
  };
  return {
    warmUp: () => {
      for (let round = 0; round < warmUpRounds; round += 1) set('warm-up', 1_000, 0);
    },
    run: () => set('full', entries, 0),
    found: () => {
      const opened = namespaces.open('full');
      return (
        opened.ok && opened.value.get(key(entries - 1), 0) !== undefined && opened.value.stats(0).entries
      );
    },
  };
}

/** As one would without a cache: a Map, and an object for each entry with its value and its end. */
function mapFilling() {
  let map = new Map<string, { readonly value: string; readonly expiresAtMs: number }>();
  const set = (count: number): void => {
    for (let n = 0; n < count; n += 1) {
      // Each value is a string of its own, as it is when it comes off the wire.
      const value = Buffer.alloc(valueBytes, 'x').toString('latin1');
      map.set(key(n), { value, expiresAtMs: Infinity });
    }
  };
  return {
    warmUp: () => {
      for (let round = 0; round < warmUpRounds; round += 1) set(1_000);
      map = new Map();
    },
    run: () => set(entries),
    found: () => map.has(key(entries - 1)) && map.size,
  };
}
