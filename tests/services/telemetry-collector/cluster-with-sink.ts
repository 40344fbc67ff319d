import { afterEach, beforeEach } from 'vitest';
import { type RunningOtelCollector, startOtelCollector } from '#tests/support/otel-collector.ts';
import { CollectorCluster } from './running-collector.ts';

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
