import { type Meter, type Tracer, createNoopMeter, ProxyTracerProvider } from '@opentelemetry/api';
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
import { type Clock, systemClock, within } from './clock.ts';

export interface TelemetryOptions {
  /** `trivet-queue`, `trivet-cache`, `trivet-telemetry` or `trivet-gateway`; `OTEL_SERVICE_NAME` overrules it. */
  readonly service: string;
  /** Name of the process, stable over restarts. */
  readonly instance: string;
  readonly version: string;
  /** Base URL of an OTLP receiver (http/protobuf), such as `http://127.0.0.1:4318`. */
  readonly otlpEndpoint?: string | undefined;
  readonly clock?: Clock;
  /** Default: the environment of the process. */
  readonly env?: Environment;
}

/** What a process says about itself. */
export interface OwnTelemetry {
  readonly meter: Meter;
  readonly tracer: Tracer;
  /** False where the two do nothing: who measures much need not begin then. */
  readonly isMetered: boolean;
  readonly isTraced: boolean;
  /** Sends what is left, in at most 2 s; never rejects. */
  shutdown(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

// A receiver that does not answer must not hold up a process that wants to end.
const shutdownMsMax = 2_000;

/**
 * Starts a process's own metrics and traces, by the standard `OTEL_*` variables.
 * Without an endpoint, or with `OTEL_SDK_DISABLED=true`, both do nothing and cost next to nothing. What cannot be
 * exported is dropped: a process's figures about itself never block or end it. Logs stay on stdout.
 */
export function startTelemetry(options: TelemetryOptions): OwnTelemetry {
  const env = options.env ?? process.env;
  const off = env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true';
  const resource = resourceOf(options);
  const metrics = off ? undefined : meterProvider(endpointOf('METRICS', options, env), resource, env);
  const traces = off ? undefined : tracerProvider(endpointOf('TRACES', options, env), resource, env);
  const tracers = traces ?? new ProxyTracerProvider();
  return {
    meter: metrics?.getMeter(options.service, options.version) ?? createNoopMeter(),
    tracer: tracers.getTracer(options.service, options.version),
    isMetered: metrics !== undefined,
    isTraced: traces !== undefined,
    shutdown: () => shutDown([metrics, traces], options.clock ?? systemClock),
  };
}

/** Where one signal goes; undefined where it goes nowhere. */
function endpointOf(
  signal: 'METRICS' | 'TRACES',
  options: TelemetryOptions,
  env: Environment,
): string | undefined {
  if (env[`OTEL_${signal}_EXPORTER`]?.trim() === 'none') return undefined;
  const own = env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`];
  if (own !== undefined && own !== '') return own;
  const base = options.otlpEndpoint ?? env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  return base === undefined || base === ''
    ? undefined
    : `${base.replace(/\/+$/, '')}/v1/${signal.toLowerCase()}`;
}

// What the environment says wins: that is how whoever runs the process names it.
const resourceOf = (options: TelemetryOptions): Resource =>
  resourceFromAttributes({
    [ATTR_SERVICE_NAME]: options.service,
    [ATTR_SERVICE_INSTANCE_ID]: options.instance,
    [ATTR_SERVICE_VERSION]: options.version,
  }).merge(detectResources({ detectors: [envDetector] }));

function meterProvider(url: string | undefined, resource: Resource, env: Environment) {
  if (url === undefined) return undefined;
  const intervalMs = positive(env['OTEL_METRIC_EXPORT_INTERVAL'], 60_000);
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url }),
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(positive(env['OTEL_METRIC_EXPORT_TIMEOUT'], 30_000), intervalMs),
  });
  return new MeterProvider({ resource, readers: [reader] });
}

function tracerProvider(url: string | undefined, resource: Resource, env: Environment) {
  if (url === undefined) return undefined;
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

async function shutDown(
  providers: readonly ({ shutdown(): Promise<void> } | undefined)[],
  clock: Clock,
): Promise<void> {
  // A failed last export has nobody left to tell.
  const ended = Promise.allSettled(providers.map(async (provider) => provider?.shutdown()));
  await within(clock, shutdownMsMax, ended, undefined);
}
