import { percentile } from './measure.ts';

/** How long single calls took, in milliseconds. */
export interface Latencies {
  readonly p50: number;
  readonly p99: number;
}

/** The same clock in every process of this machine. */
export const monotonicMicros = (): number => Number(process.hrtime.bigint() / 1_000n);

export function latencies(times: number[]): Latencies {
  times.sort((a, b) => a - b);
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

/** Runs `count` calls by `callers` at once, each one call at a time. */
export async function timedCalls(
  count: number,
  callers: number,
  call: (index: number) => Promise<unknown>,
): Promise<{ readonly times: number[]; readonly seconds: number }> {
  const times: number[] = [];
  let next = 0;
  const started = performance.now();
  const caller = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const at = performance.now();
      await call(index);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { times, seconds: (performance.now() - started) / 1_000 };
}
