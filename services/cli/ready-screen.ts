import type { OtlpPorts } from '#shared/runtime/lifecycle.ts';

/** What a start prints when everything serves. Pure. */

export interface ReadyCluster {
  /** Without credentials. */
  readonly nats: string;
  readonly http: string;
  readonly token: string;
  readonly data: string;
  readonly pids: {
    /** Absent when the NATS is not ours. */
    readonly 'nats-server'?: number;
    readonly 'queue-broker': readonly number[];
    readonly 'cache-node': readonly number[];
    readonly 'telemetry-collector': readonly number[];
    readonly gateway: readonly number[];
    /** Where tokens are required. */
    readonly 'auth-callout'?: readonly number[];
  };
}

export interface ScreenOptions {
  /** Where the first of the collectors that do receives OTLP. */
  readonly otlp?: OtlpPorts;
  readonly prefix: string;
  /** Of the embedded nats-server. */
  readonly monitor: string | undefined;
  /** Whether the `nats` command is on PATH. */
  readonly natsCommand: boolean;
  /** Nobody connects to this NATS without a token. */
  readonly needsToken?: boolean;
}

/** The line that scripts wait for and read: its two words and its JSON are a contract. */
export function readyLine(cluster: ReadyCluster): string {
  return `trivet ready ${JSON.stringify(cluster)}`;
}

export function readyScreen(cluster: ReadyCluster, options: ScreenOptions): string {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['HTTP', cluster.http],
    ['Sign in', `${cluster.http}/sign-in`],
    ['OpenAPI', `${cluster.http}/openapi.json`],
    ['NATS', cluster.nats],
    ['OTLP', otlpText(options.otlp ?? {})],
    ['NATS monitoring', options.monitor],
    ['Data', cluster.data],
    ['Token', cluster.token],
  ];
  const withToken = options.needsToken === true ? ' (connect({ token: process.env.TRIVET_TOKEN }))' : '';
  return [
    '',
    '  Trivet is ready: queue, cache and telemetry on NATS.',
    '',
    ...rows.flatMap(([name, value]) => (value === undefined ? [] : [`  ${name.padEnd(16)} ${value}`])),
    '',
    '  Try it in another terminal:',
    '',
    ...oneLiners(cluster, options).map((line) => `    ${line}`),
    '',
    `  For your programs${withToken}, and for the trivet command in other folders:`,
    '',
    ...exports(cluster, options).map((line) => `    ${line}`),
    '',
    '  Ctrl-C drains everything and ends it.',
    '',
  ].join('\n');
}

const otlpText = ({ http, grpc }: OtlpPorts): string | undefined => {
  const ways = [
    ...(http === undefined ? [] : [`http://127.0.0.1:${http} (HTTP)`]),
    ...(grpc === undefined ? [] : [`http://127.0.0.1:${grpc} (gRPC)`]),
  ];
  return ways.length === 0 ? undefined : ways.join(', ');
};

/** What clients look for elsewhere by themselves is named where it is not what they look for. */
function exports(cluster: ReadyCluster, { otlp, prefix }: ScreenOptions): string[] {
  const variables: readonly (readonly [string, string | undefined])[] = [
    ['NATS_URL', cluster.nats === 'nats://127.0.0.1:4222' ? undefined : cluster.nats],
    ['TRIVET_HTTP_URL', cluster.http === 'http://127.0.0.1:8420' ? undefined : cluster.http],
    ['TRIVET_PREFIX', prefix === 'trivet' ? undefined : prefix],
    ['TRIVET_TOKEN', cluster.token],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', otlp?.http === undefined ? undefined : `http://127.0.0.1:${otlp.http}`],
  ];
  return variables.flatMap(([name, value]) => (value === undefined ? [] : [`export ${name}=${value}`]));
}

function oneLiners(cluster: ReadyCluster, { prefix, natsCommand, needsToken }: ScreenOptions): string[] {
  const body = JSON.stringify({ queue_name: 'hello', payload: { to: 'world' } });
  const otherPrefix = prefix === 'trivet' ? '' : ` --subject-prefix ${prefix}`;
  const shown = needsToken === true ? ` --token ${cluster.token}` : '';
  return [
    `npx trivet --nats ${cluster.nats}${otherPrefix}${shown} enqueue hello '{"to":"world"}'`,
    `curl -sS ${cluster.http}/queue/enqueue -H 'Authorization: Bearer ${cluster.token}' -H 'Content-Type: application/json' -d '${body}'`,
    ...(natsCommand && needsToken !== true
      ? [`nats --server ${cluster.nats} request ${prefix}.queue.hello.dequeue '{"max":2}'`]
      : []),
  ];
}
