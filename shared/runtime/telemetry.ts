import { type Meter, type Tracer, createNoopMeter, ProxyTracerProvider } from '@opentelemetry/api';
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

export type Environment = Readonly<Record<string, string | undefined>>;

// A receiver that does not answer must not hold up a process that wants to end.
const shutdownMsMax = 2_000;

/**
 * Starts a process's own metrics and traces, by the standard `OTEL_*` variables.
 * Without an endpoint, or with `OTEL_SDK_DISABLED=true`, both do nothing and cost next to nothing. What cannot be
 * exported is dropped: a process's figures about itself never block or end it. Logs stay on stdout.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<OwnTelemetry> {
  const env = options.env ?? process.env;
  const off = env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true';
  const urls = (['METRICS', 'TRACES'] as const).map((signal) => endpointOf(signal, options, env));
  const [metrics, traces] = off ? [] : await providersFor(urls, options, env);
  const tracers = traces ?? new ProxyTracerProvider();
  return {
    meter: metrics?.getMeter(options.service, options.version) ?? createNoopMeter(),
    tracer: tracers.getTracer(options.service, options.version),
    isMetered: metrics !== undefined,
    isTraced: traces !== undefined,
    shutdown: () => shutDown([metrics, traces], options.clock ?? systemClock),
  };
}

async function providersFor(
  [metricsUrl, tracesUrl]: readonly (string | undefined)[],
  options: TelemetryOptions,
  env: Environment,
) {
  if (metricsUrl === undefined && tracesUrl === undefined) return [];
  // Only now: the SDK is two hundred modules, which a process that exports nothing need not load.
  const { meterProvider, resourceOf, tracerProvider } = await import('./telemetry-exports.ts');
  const resource = resourceOf(options);
  return [
    metricsUrl === undefined ? undefined : meterProvider(metricsUrl, resource, env),
    tracesUrl === undefined ? undefined : tracerProvider(tracesUrl, resource, env),
  ] as const;
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

async function shutDown(
  providers: readonly ({ shutdown(): Promise<void> } | undefined)[],
  clock: Clock,
): Promise<void> {
  // A failed last export has nobody left to tell.
  const ended = Promise.allSettled(providers.map(async (provider) => provider?.shutdown()));
  await within(clock, shutdownMsMax, ended, undefined);
}
