import { parseArgs } from 'node:util';

import {
  commonSettings,
  type ConfigOf,
  integer,
  port,
  readConfig,
  type Setting,
  text,
  urls,
  word,
} from '#shared/runtime/config.ts';

const processesMax = 32;

const count = (env: string, what: string, min: number): Setting<number> =>
  integer({ env, default: 1, min, max: processesMax, about: `how many ${what} processes` });

/** What `npm start` can be told. Each setting is an environment variable; most have a command-line twin. */
export const startSettings = {
  data: text({ env: 'TRIVET_DATA', default: '.trivet', about: 'folder of everything that is kept' }),
  natsUrl: urls<string | undefined>({
    env: 'NATS_URL',
    default: undefined,
    about: 'a NATS that runs already; none is started then',
    schemes: ['nats', 'tls', 'ws', 'wss'],
  }),
  natsUser: commonSettings.natsUser,
  natsPassword: commonSettings.natsPassword,
  natsPort: port({ env: 'TRIVET_NATS_PORT', default: 4222, about: 'port of the embedded nats-server' }),
  httpPort: port({ env: 'TRIVET_HTTP_PORT', default: 8420, about: 'port of the first gateway' }),
  token: text<string | undefined>({
    env: 'TRIVET_TOKEN',
    default: undefined,
    about: 'the local admin token; made and stored in the data folder when absent',
    secret: true,
  }),
  prefix: commonSettings.prefix,
  partitions: integer({
    env: 'TRIVET_PARTITIONS',
    default: 4,
    min: 1,
    max: 256,
    about: 'partitions of the queues; fixed when the cluster is made',
  }),
  replicas: commonSettings.replicas,
  logLevel: commonSettings.logLevel,
  otlpEndpoint: commonSettings.otlpEndpoint,
  brokers: count('TRIVET_BROKERS', 'queue-broker', 0),
  caches: count('TRIVET_CACHES', 'cache-node', 0),
  collectors: count('TRIVET_COLLECTORS', 'telemetry-collector', 0),
  // At least one: the cluster's HTTP address is part of what a start announces.
  gateways: count('TRIVET_GATEWAYS', 'gateway', 1),
  callouts: integer({
    env: 'TRIVET_CALLOUTS',
    default: 1,
    min: 1,
    max: processesMax,
    about: 'how many auth-callout processes, where tokens are required',
  }),
  requireTokens: word({
    env: 'TRIVET_REQUIRE_TOKENS',
    default: 'false',
    words: ['true', 'false'],
    about: 'nobody connects to the embedded NATS without a token',
  }),
  jsonLogs: word({
    env: 'TRIVET_JSON_LOGS',
    default: 'false',
    words: ['true', 'false'],
    about: 'logs as JSON lines instead of text',
  }),
} as const;

export type StartOptions = ConfigOf<typeof startSettings>;

/** Options after `npm start --`, with the placeholder of their value; a flag has none. */
const commandLine: readonly { option: string; setting: keyof StartOptions; value?: string }[] = [
  { option: 'data', setting: 'data', value: 'DIR' },
  { option: 'nats-port', setting: 'natsPort', value: 'N' },
  { option: 'http-port', setting: 'httpPort', value: 'N' },
  { option: 'otlp-endpoint', setting: 'otlpEndpoint', value: 'URL' },
  { option: 'brokers', setting: 'brokers', value: 'N' },
  { option: 'caches', setting: 'caches', value: 'N' },
  { option: 'collectors', setting: 'collectors', value: 'N' },
  { option: 'gateways', setting: 'gateways', value: 'N' },
  { option: 'require-tokens', setting: 'requireTokens' },
  { option: 'json-logs', setting: 'jsonLogs' },
];

export type StartRequest =
  | { readonly kind: 'start'; readonly options: StartOptions }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'refused'; readonly faults: readonly string[] };

/**
 * Reads the command line and the environment; the command line wins.
 * Every fault is found before anything is refused: who mistyped two options is told of both.
 */
export function readStartOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): StartRequest {
  const faults: string[] = [];
  const given = new Map<keyof StartOptions, { readonly option: string; readonly value: string }>();
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      commandLine.map(({ option, value }) => [
        option,
        { type: value === undefined ? 'boolean' : 'string' } as const,
      ]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      faults.push(`${JSON.stringify(token.value)} is not an option`);
      continue;
    }
    if (token.name === 'help' || token.name === 'h') return { kind: 'help', text: usage() };
    const known = commandLine.find(({ option }) => option === token.name);
    if (known === undefined) faults.push(`${token.rawName} is not a known option`);
    else if (known.value === undefined && token.value === undefined)
      given.set(known.setting, { option: token.rawName, value: 'true' });
    else if (token.value === undefined) faults.push(`${token.rawName} needs a value (${known.value})`);
    else if (token.value === '') faults.push(`${token.rawName} must not be empty`);
    else given.set(known.setting, { option: token.rawName, value: token.value });
  }
  return readSettings(given, env, faults);
}

function readSettings(
  given: ReadonlyMap<string, { readonly option: string; readonly value: string }>,
  env: Readonly<Record<string, string | undefined>>,
  faults: string[],
): StartRequest {
  // A setting that was given as an option is read from there, and its fault names the option, not the variable.
  const overlay: Record<string, string | undefined> = { ...env };
  const table: Record<string, Setting<unknown>> = {};
  for (const [name, setting] of Object.entries<Setting<unknown>>(startSettings)) {
    const option = given.get(name);
    table[name] = option === undefined ? setting : { ...setting, env: option.option };
    if (option !== undefined) overlay[option.option] = option.value;
  }
  const read = readConfig(table, { env: overlay });
  if ('faults' in read) faults.push(...read.faults);
  if (faults.length > 0) return { kind: 'refused', faults };
  if ('faults' in read) return { kind: 'refused', faults };
  return { kind: 'start', options: read.config as StartOptions };
}

export function usage(): string {
  const rows = commandLine.map(({ option, setting, value }) => {
    const { about, env, default: fallback } = startSettings[setting];
    const left = `  --${option}${value === undefined ? '' : ` ${value}`}`;
    return `${left.padEnd(24)} ${about} (${env}${fallback === undefined ? '' : `, ${fallback}`})`;
  });
  return ['npm start -- [options]', '', ...rows, '', '0 as a port means any free one.'].join('\n');
}
