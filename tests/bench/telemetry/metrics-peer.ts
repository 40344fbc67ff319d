import { bytesOfRequest } from '#services/telemetry-collector/core/otlp-json.ts';
import { rssAnonMiB, withCpu } from '#tests/bench/process-figures.ts';
import { startOtelCollector } from '#tests/support/otel-collector.ts';
import type { Peer } from './metrics-aggregated.ts';
import { postAll } from './post-all.ts';
import { metricRecords, recordsPerMessage } from './records.ts';

/**
 * The OpenTelemetry Collector with the same records as points of OTLP requests. It has less to do than we have: it
 * reads protobuf, adds nothing up, keeps nothing, and passes each request on.
 */
export const otelMetricsPeer: Peer = {
  name: 'OpenTelemetry Collector (OTLP/HTTP in and out: passes each point on, adds nothing up, no queue)',
  open: async (sink) => {
    const peer = await startOtelCollector({ forwardTo: { type: 'http', endpoint: sink.endpoint } });
    return {
      run: async (messages, startMs) => {
        const requestsBefore = sink.requests();
        const { cpu } = await withCpu({ collector: [peer.pid()] }, messages * recordsPerMessage, () =>
          postAll(`${peer.endpoint}/v1/metrics`, messages, (message) => metricRequest(message, startMs)),
        );
        const passedOn = sink.requests() - requestsBefore;
        if (passedOn < messages) throw new Error(`${passedOn} of ${messages} requests were passed on`);
        const rssMiB = rssAnonMiB(peer.pid());
        return {
          value: 1_000_000 / (cpu['collector'] ?? Number.NaN),
          cpu,
          ...(rssMiB === undefined ? {} : { rssMiB }),
        };
      },
      close: () => peer.remove(),
    };
  },
};

/** A message of records as one OTLP request: deltas of one, as a counter of a program sends them. */
export function metricRequest(message: number, startMs: number): Uint8Array {
  const bySource = Map.groupBy(metricRecords(message, startMs), ({ source }) => source);
  const resourceMetrics = [...bySource].map(([source, records]) => {
    const dataPoints = records.map(({ tags, timestamp, value }) => ({
      attributes: Object.entries(tags).map(([key, text]) => ({ key, value: { stringValue: text } })),
      startTimeUnixNano: `${timestamp - 1}000000`,
      timeUnixNano: `${timestamp}000000`,
      asDouble: value,
    }));
    const sum = { dataPoints, aggregationTemporality: 1, isMonotonic: true };
    return {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: source } }] },
      scopeMetrics: [{ metrics: [{ name: records[0]?.name ?? '', sum }] }],
    };
  });
  return bytesOfRequest('metrics', { resourceMetrics });
}
