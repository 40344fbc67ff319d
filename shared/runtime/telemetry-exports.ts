import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  type Resource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import {
  ATTR_SERVICE_INSTANCE_ID,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
} from '@opentelemetry/semantic-conventions';
import type { Environment, TelemetryOptions } from './telemetry.ts';

// OpenTelemetry's SDK, by its standard variables. Loaded by those processes alone that export something.

// What the environment says wins: that is how whoever runs the process names it.
export const resourceOf = (options: TelemetryOptions): Resource =>
  resourceFromAttributes({
    [ATTR_SERVICE_NAME]: options.service,
    [ATTR_SERVICE_INSTANCE_ID]: options.instance,
    [ATTR_SERVICE_VERSION]: options.version,
  }).merge(detectResources({ detectors: [envDetector] }));

export function meterProvider(url: string, resource: Resource, env: Environment): MeterProvider {
  const intervalMs = positive(env['OTEL_METRIC_EXPORT_INTERVAL'], 60_000);
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url }),
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(positive(env['OTEL_METRIC_EXPORT_TIMEOUT'], 30_000), intervalMs),
  });
  return new MeterProvider({ resource, readers: [reader] });
}

export function tracerProvider(url: string, resource: Resource, env: Environment): TracerProvider {
  const queueSizeMax = positive(env['OTEL_BSP_MAX_QUEUE_SIZE'], 2_048);
  const processor = new BatchSpanProcessor({
    exporter: new OTLPTraceExporter({ url }),
    maxQueueSize: queueSizeMax,
    maxExportBatchSize: Math.min(positive(env['OTEL_BSP_MAX_EXPORT_BATCH_SIZE'], 512), queueSizeMax),
    scheduledDelayMillis: positive(env['OTEL_BSP_SCHEDULE_DELAY'], 5_000),
    exportTimeoutMillis: positive(env['OTEL_BSP_EXPORT_TIMEOUT'], 30_000),
  });
  return new TracerProvider({ resource, sampler: samplerOf(env), spanProcessors: [processor] });
}

/** `OTEL_TRACES_SAMPLER` and its argument, as the OpenTelemetry specification names them. */
function samplerOf(env: Environment): Sampler {
  const name = env['OTEL_TRACES_SAMPLER']?.trim() ?? '';
  const ratio = Number(env['OTEL_TRACES_SAMPLER_ARG'] ?? '1');
  const root = rootSampler(name.replace(/^parentbased_/, ''), ratio >= 0 && ratio <= 1 ? ratio : 1);
  return name === '' || name.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root;
}

function rootSampler(name: string, ratio: number): Sampler {
  if (name === 'always_off') return new AlwaysOffSampler();
  if (name === 'traceidratio') return new TraceIdRatioBasedSampler(ratio);
  return new AlwaysOnSampler();
}

/** The number in `text`, or `otherwise` where it is none: the specification asks to ignore what cannot be read. */
function positive(text: string | undefined, otherwise: number): number {
  const value = Number(text ?? '');
  return Number.isFinite(value) && value > 0 ? value : otherwise;
}
