import { parseKeyPairsIntoRecord } from '@opentelemetry/core';
import { type Signal, signals } from './core/otlp-chunks.ts';
import { type DestinationPlan, type OtlpTarget, timeoutMsDefault } from './core/pipelines.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The name of the destination that the environment describes. */
export const environmentName = 'otlp';

/**
 * The destination of the standard `OTEL_EXPORTER_OTLP_*` variables; undefined where they name no endpoint.
 * @param endpoint the base URL from the configuration
 */
export function environmentDestination(
  endpoint: string | undefined,
  env: Environment,
): DestinationPlan | undefined {
  const isGiven = endpoint !== undefined && endpoint !== '';
  const common = {
    name: environmentName,
    required: true,
    wants: undefined,
    temporality: 'cumulative',
  } as const;
  const protocol = env['OTEL_EXPORTER_OTLP_PROTOCOL'];
  if (protocol === 'grpc' && isGiven) {
    const target = { ...targetOf('logs', endpoint, env), url: endpoint };
    return { ...common, signals, connection: { type: 'otlp-grpc', target } };
  }
  const targets: Partial<Record<Signal, OtlpTarget>> = {};
  for (const signal of signals) {
    const own = setting(signal, 'ENDPOINT', env, false);
    if (own === undefined && !isGiven) continue;
    targets[signal] = targetOf(signal, own ?? `${endpoint?.replace(/\/+$/, '')}/v1/${signal}`, env);
  }
  const reached = signals.filter((signal) => targets[signal] !== undefined);
  if (reached.length === 0) return undefined;
  const encoding = protocol === 'http/json' ? 'json' : 'protobuf';
  return { ...common, signals: reached, connection: { type: 'otlp-http', encoding, targets } };
}

function targetOf(signal: Signal, url: string, env: Environment): OtlpTarget {
  const timeoutMs = Number(setting(signal, 'TIMEOUT', env));
  return {
    url,
    headers: {
      ...parseKeyPairsIntoRecord(env['OTEL_EXPORTER_OTLP_HEADERS']),
      ...parseKeyPairsIntoRecord(setting(signal, 'HEADERS', env, false)),
    },
    gzip: setting(signal, 'COMPRESSION', env) === 'gzip',
    timeoutMs: timeoutMs > 0 ? timeoutMs : timeoutMsDefault,
  };
}

/** A variable of the signal, else (where `shared`) the one for all signals. */
function setting(signal: Signal, name: string, env: Environment, shared = true): string | undefined {
  const own = env[`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${name}`];
  const value = own === undefined || own === '' ? shared && env[`OTEL_EXPORTER_OTLP_${name}`] : own;
  return value === false || value === '' ? undefined : value;
}
