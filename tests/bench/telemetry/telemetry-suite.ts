import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import type { Suite } from '#tests/bench/suite.ts';
import { versionIn } from '#tests/bench/versions.ts';
import { metricsAggregated } from './metrics-aggregated.ts';

/** How much each workload does in a round. */
export interface TelemetrySizes {
  readonly messages: number;
}

const fullSizes: TelemetrySizes = { messages: 6_000 };

/** The collector, beside the OpenTelemetry Collector where the two do the same. */
export const telemetrySuite = (sizes: TelemetrySizes = fullSizes): Suite => ({
  workloads: [metricsAggregated(sizes.messages)],
  versions: async () => ({
    node: process.version,
    'nats-server': (await resolveNatsServer()).version,
    trivet: versionIn('package.json'),
  }),
});
