import { join } from 'node:path';

import type { CalloutKeys } from '#shared/runtime/auth-callout.ts';

import type { StartOptions } from './start-options.ts';
import type { ProcessPlan } from './supervised-process.ts';

export const services = [
  'queue-broker',
  'cache-node',
  'telemetry-collector',
  'gateway',
  'auth-callout',
] as const;
export type ServiceName = (typeof services)[number];

/** The gateway first: nothing new comes in while the others finish. NATS last: they need it to finish. */
export const drainStages = [
  ['gateway'],
  ['queue-broker', 'cache-node', 'telemetry-collector', 'auth-callout'],
  ['nats-server'],
] as const;

export interface ClusterAddress {
  /** Without credentials. */
  readonly natsUrl: string;
  readonly natsUser: string | undefined;
  readonly natsPassword: string | undefined;
  readonly token: string;
  /** Given to gateway and auth callout, so that each takes what the other made. */
  readonly secrets: {
    readonly session: string;
    readonly auditKey: string;
  };
  /** Where tokens are required. */
  readonly callout?: { readonly keys: CalloutKeys; readonly natsLogFile: string } | undefined;
}

/** Where a service that speaks HTTP is told its port. */
const portVariables: Readonly<Record<ServiceName, string>> = {
  'queue-broker': 'TRIVET_METRICS_PORT',
  'cache-node': 'TRIVET_METRICS_PORT',
  'telemetry-collector': 'TRIVET_METRICS_PORT',
  gateway: 'TRIVET_HTTP_PORT',
  'auth-callout': 'TRIVET_METRICS_PORT',
};

/** Which services run where, and what each is told. Pure but for the environment that it is given. */
export function planCluster(plan: {
  readonly options: StartOptions;
  readonly address: ClusterAddress;
  readonly pathOf: (processName: string) => string;
  readonly entryOf: (service: ServiceName) => string;
  readonly env: NodeJS.ProcessEnv;
}): readonly ProcessPlan[] {
  const { options, address } = plan;
  const counts: Readonly<Record<ServiceName, number>> = {
    'queue-broker': options.brokers,
    'cache-node': options.caches,
    'telemetry-collector': options.collectors,
    gateway: options.gateways,
    'auth-callout': address.callout === undefined ? 0 : options.callouts,
  };
  return services.flatMap((service) =>
    Array.from({ length: counts[service] }, (_, index) => {
      const name = `${service}-${index + 1}`;
      const given = {
        ...sharedEnvironment(options, address),
        TRIVET_NAME: name,
        TRIVET_DATA: plan.pathOf(name),
        ...ownEnvironment(service, plan, index),
      };
      const env = { ...withoutFilesOf(given, inherited(plan.env, index)), ...given };
      return { name, service, entry: plan.entryOf(service), env, envAfter: keepPort(portVariables[service]) };
    }),
  );
}

/** The module of a service, seen from the folder of this file. */
export const entryOfService = (service: ServiceName): string =>
  // The callout is a second process of the gateway's code: the same decisions, in front of NATS.
  service === 'auth-callout'
    ? join(import.meta.dirname, '..', 'gateway', 'callout-main.ts')
    : join(import.meta.dirname, '..', service, 'main.ts');

// The token is for the gateway alone; the rest of what people set (OTEL_…, TRIVET_LOG_BYTES_MAX, …) is for everyone.
function inherited(env: NodeJS.ProcessEnv, index: number): NodeJS.ProcessEnv {
  const { TRIVET_TOKEN: _, TRIVET_TOKEN_FILE: __, TRIVET_METRICS_PORT: metricsPort, ...rest } = env;
  if (metricsPort === undefined) return rest;
  return { ...rest, TRIVET_METRICS_PORT: index === 0 ? metricsPort : '0' };
}

/** A secret that has been read from its file here is given to a service as it is, and a service takes only one of both. */
const withoutFilesOf = (given: NodeJS.ProcessEnv, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => given[name.replace(/_FILE$/, '')] === undefined));

function sharedEnvironment(options: StartOptions, address: ClusterAddress): NodeJS.ProcessEnv {
  return {
    NATS_URL: address.natsUrl,
    TRIVET_NATS_USER: address.natsUser,
    TRIVET_NATS_PASSWORD: address.natsPassword,
    TRIVET_PREFIX: options.prefix,
    TRIVET_PARTITIONS: String(options.partitions),
    TRIVET_REPLICAS: String(options.replicas),
    TRIVET_LOG_LEVEL: options.logLevel,
    OTEL_EXPORTER_OTLP_ENDPOINT: options.otlpEndpoint,
  };
}

function ownEnvironment(
  service: ServiceName,
  plan: {
    readonly options: StartOptions;
    readonly address: ClusterAddress;
    readonly env: NodeJS.ProcessEnv;
  },
  index: number,
): Record<string, string> {
  const { options, address } = plan;
  const identity = {
    TRIVET_TOKEN: address.token,
    ...unlessSaid('TRIVET_AUDIT_KEY', address.secrets.auditKey, plan.env),
  };
  if (service === 'gateway') {
    return {
      ...identity,
      ...unlessSaid('TRIVET_SESSION_SECRET', address.secrets.session, plan.env),
      // Only one can have the port that was asked for.
      TRIVET_HTTP_PORT: index === 0 ? String(options.httpPort) : '0',
    };
  }
  if (service === 'auth-callout' && address.callout !== undefined) {
    const { keys, natsLogFile } = address.callout;
    return {
      ...identity,
      TRIVET_CALLOUT_ISSUER: keys.issuerSeed,
      TRIVET_CALLOUT_XKEY: keys.xkeySeed,
      // One of them reads it: each would write down the same.
      ...(index === 0 ? { TRIVET_NATS_LOG_FILE: natsLogFile } : {}),
    };
  }
  return {};
}

/** The data folder's, where whoever started us has not said another one: gateways of several machines share theirs. */
const unlessSaid = (name: string, kept: string, env: NodeJS.ProcessEnv): Record<string, string> =>
  [env[name], env[`${name}_FILE`]].every((said) => said === undefined || said === '') ? { [name]: kept } : {};

// Clients of a gateway and a Prometheus that scrapes a collector know the address of the first start.
const keepPort =
  (variable: string) =>
  ({ http }: { readonly http?: string }): Record<string, string> =>
    http === undefined ? {} : { [variable]: new URL(http).port };
