import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

// How often it is looked at: what is measured is how much later than this the look came.
const resolutionMs = 10;
const nanosPerMs = 1_000_000;

/** Watches how long the event loop is held up. @returns what tells it, in milliseconds since the start */
export function watchEventLoop(): () => EventLoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const delay = (nanos: number): number =>
    Number.isFinite(nanos) ? Math.round(Math.max(0, nanos / nanosPerMs - resolutionMs) * 100) / 100 : 0;
  return () => ({
    p50: delay(histogram.percentile(50)),
    p99: delay(histogram.percentile(99)),
    max: delay(histogram.max),
  });
}
