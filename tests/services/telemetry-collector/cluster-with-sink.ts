import { afterEach, beforeEach, test } from 'vitest';
import {
  type RunningOtelCollector,
  otelCollectorAvailable,
  startOtelCollector,
} from '#tests/support/otel-collector.ts';
import { CollectorCluster } from './running-collector.ts';

/** Whether a real OpenTelemetry Collector can be had here: hooks do nothing where it cannot. */
export const hasOtelCollector = await otelCollectorAvailable();
if (!hasOtelCollector)
  console.error('NOT RUN: the tests with a real OpenTelemetry Collector need Go to build it');

/** A test that needs a real OpenTelemetry Collector; `npm test` says loudly where it was not run. */
export const otelTest = test.runIf(hasOtelCollector);

/** The first run builds the Collector; a busy machine starts processes slowly. */
export const otelHookMs = 20 * 60_000;

export interface ClusterWithSink {
  readonly cluster: CollectorCluster;
  /** What it has written to its file has arrived. */
  readonly sink: RunningOtelCollector;
}

/** For each test of the file a cluster of its own, and a real Collector that it may send to. */
export function eachWithSink(begin: (running: ClusterWithSink) => void): void {
  let running: ClusterWithSink | undefined;
  beforeEach(async () => {
    if (!hasOtelCollector) return;
    const sink = await startOtelCollector();
    running = { cluster: await CollectorCluster.start(), sink };
    begin(running);
  });
  afterEach(async () => {
    await running?.cluster.stop();
    await running?.sink.remove();
    running = undefined;
  });
}
