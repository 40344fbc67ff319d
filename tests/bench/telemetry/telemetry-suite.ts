import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import type { Suite } from '#tests/bench/suite.ts';
import { versionIn } from '#tests/bench/versions.ts';
import { otelCollectorVersion } from '#tests/support/otel-collector.ts';
import { earlyAcknowledgement } from './early-acknowledgement.ts';
import { collectorMemory } from './memory.ts';
import { metricsAggregated } from './metrics-aggregated.ts';
import { otelMetricsPeer } from './metrics-peer.ts';
import { outage } from './outage.ts';
import { logsPassthrough, otlpPassthrough } from './passthrough.ts';

/** How much each workload does in a round. */
export interface TelemetrySizes {
  /** Of metrics. */
  readonly messages: number;
  /** Log records that pass through. */
  readonly records: number;
  /** Of a steady load. */
  readonly seconds: number;
}

const fullSizes: TelemetrySizes = { messages: 6_000, records: 200_000, seconds: 20 };

/** The collector, beside the OpenTelemetry Collector where the two do the same. */
export const telemetrySuite = (sizes: TelemetrySizes = fullSizes): Suite => ({
  workloads: [
    metricsAggregated(sizes.messages, otelMetricsPeer),
    logsPassthrough(sizes.records),
    otlpPassthrough(sizes.records),
    earlyAcknowledgement(sizes.records),
    collectorMemory(sizes.seconds),
    outage(sizes.seconds),
  ],
  versions: async () => ({
    node: process.version,
    'nats-server': (await resolveNatsServer()).version,
    trivet: versionIn('package.json'),
    'opentelemetry-collector': otelCollectorVersion,
  }),
});
