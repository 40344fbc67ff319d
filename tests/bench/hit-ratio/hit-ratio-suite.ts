import type { Sample, Workload } from '#tests/bench/measure.ts';
import type { Suite } from '#tests/bench/suite.ts';
import { versionIn } from '#tests/bench/versions.ts';
import { type Trace, keysOf, optimum, simulateCache } from './simulate-cache.ts';
import { type NamedTrace, generatedTraces, traceFile } from './traces.ts';

const strategies = ['lru', 's3-fifo', 'w-tinylfu'] as const;
/** Sizes of the cache, as parts of the trace's distinct keys. */
const parts = [0.001, 0.01, 0.1];

/**
 * How often each policy of the cache node has what is asked for, beside what is possible at all. Not a matter of speed:
 * a trace gives the same figures each time, on any machine.
 * @param path a file of keys, one a line; traces are generated where it is left out
 */
export function hitRatioSuite(path: string | undefined, traces?: readonly NamedTrace[]): Suite {
  const replayed = traces ?? (path === undefined ? generatedTraces() : [traceFile(path)]);
  return {
    workloads: replayed.flatMap(({ name, trace }) =>
      parts.flatMap((part) => workloadsOf(name, trace, Math.max(1, Math.round(part * keysOf(trace))))),
    ),
    versions: () => Promise.resolve({ node: process.version, trivet: versionIn('package.json') }),
  };
}

function workloadsOf(name: string, trace: Trace, entriesMax: number): readonly Workload[] {
  const best = once(() => percent(optimum(trace, entriesMax)));
  return strategies.map((strategy) => {
    const ours = once(() => percent(simulateCache(strategy, trace, entriesMax)));
    return {
      workload: `${name}, ${entriesMax} entries, ${strategy}`,
      unit: '% hits',
      durability: 'none',
      peerName: "Belady's optimum",
      notes: `${trace.length} requests for ${keysOf(trace)} keys`,
      open: () =>
        Promise.resolve({
          ours: () => Promise.resolve(ours()),
          peer: () => Promise.resolve(best()),
          close: () => Promise.resolve(),
        }),
    };
  });
}

const percent = ({ hits, requests }: { readonly hits: number; readonly requests: number }): Sample => ({
  value: (100 * hits) / requests,
});

/** The rounds of a measurement would all be the same. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
