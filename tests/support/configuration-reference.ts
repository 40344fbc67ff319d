import { cacheSettings } from '#services/cache-node/settings.ts';
import { startSettings } from '#services/cli/start-options.ts';
import { calloutSettings } from '#services/gateway/callout-settings.ts';
import { gatewaySettings } from '#services/gateway/settings.ts';
import { queueSettings } from '#services/queue-broker/settings.ts';
import { settings as telemetrySettings } from '#services/telemetry-collector/settings.ts';
import { formatDuration } from '#shared/protocol/durations.ts';
import { type SettingTable, commonSettings } from '#shared/runtime/config.ts';

const common = new Set(Object.values(commonSettings).map((setting) => setting.env));

export const services = {
  'queue-broker': queueSettings,
  'cache-node': cacheSettings,
  'telemetry-collector': telemetrySettings,
  gateway: gatewaySettings,
  'auth-callout': calloutSettings,
};

/** services/cli/known-variables.ts: `npm start` hands the environment on to services that it does not import. */
export function knownVariables(): string {
  const settings = [startSettings, commonSettings, ...Object.values(services)].flatMap(
    (table: SettingTable) => Object.values(table),
  );
  const names = settings.flatMap(({ env, secret }) => (secret === true ? [env, `${env}_FILE`] : [env]));
  return [
    '// Made by `npm run docs` from the tables that the processes read; do not edit.',
    '',
    '/** The variables of all settings, of `npm start` and of every service. */',
    `export const knownVariables: readonly string[] = ${JSON.stringify([...new Set(names)].sort())};`,
    '',
  ].join('\n');
}

/** docs/configuration.md, from the tables that the processes themselves read. */
export function configurationReference(): string {
  return [
    '# Configuration',
    '',
    'Made by `npm run docs` from the tables that the processes read; do not edit. A setting of a service comes from the environment or from a JSON file (`npm run service -- <name> --config FILE`, or `TRIVET_CONFIG=FILE`; by its name, lists and rates as text as in the environment); the environment wins. Faults are reported all at once, by name, with exit code 2.',
    '',
    section(
      'npm start',
      startSettings,
      'The options after `npm start --` are in `services/cli/README.md`; an option wins over its variable. There is no file: what is set in the environment reaches the services, too.',
    ),
    section('Every service', commonSettings),
    ...Object.entries(services).map(([name, table]) => section(name, withoutCommon(table))),
    '## Clients',
    '',
    'What `connect()` and the command `trivet` read; an option of either wins.',
    '',
    '| variable | default | read by | meaning |',
    '|---|---|---|---|',
    '| `NATS_URL` | `nats://127.0.0.1:4222` | both | where NATS is |',
    '| `TRIVET_PREFIX` | `trivet` | both | the first token of every subject |',
    '| `TRIVET_TOKEN` | | `trivet` | an API key, a JWT or the local admin token |',
    '| `TRIVET_DATA` | `.trivet` | `trivet` | the data folder of `npm start`, whose `token` is taken where none is given |',
    '| `TRIVET_HTTP_URL` | `http://127.0.0.1:8420` | `trivet` | where the gateway is, for `token` and `audit` |',
    '| `TRIVET_CACHE_DIR` | `~/.cache/trivet` | `trivet`, `npm start` | what can be made again: obtained nats-servers, and what Node compiled |',
    '',
    'Beside these every process honours the standard `OTEL_*` variables for what it says about itself.',
    '',
  ].join('\n');
}

function section(title: string, table: SettingTable, note?: string): string {
  const rows = Object.entries(table).map(
    ([name, setting]) =>
      `| \`${setting.env}\` | \`${name}\` | ${shown(setting)} | ${setting.about}${wordsOf(setting)}${setting.secret === true ? ` (or \`${setting.env}_FILE\`: a file that holds it)` : ''} |`,
  );
  return [
    `## ${title}`,
    '',
    ...(note === undefined ? [] : [note, '']),
    '| variable | name in the file | default | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function shown(setting: SettingTable[string]): string {
  if (!Object.hasOwn(setting, 'default')) return 'required';
  const written = writtenDefault(setting);
  return written === '' ? '' : `\`${written}\``;
}

/** As it would be set: what the page shows can be copied. '' where nothing is said. */
export function writtenDefault(setting: SettingTable[string]): string {
  const value: unknown = setting.default;
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.join(',');
  if (isRate(value)) return `${value.count}/${formatDuration(value.perMs)}`;
  if (typeof value === 'number' && !('value' in setting.parse(`${value}`))) return formatDuration(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const isRate = (value: unknown): value is { readonly count: number; readonly perMs: number } =>
  typeof value === 'object' && value !== null && 'count' in value && 'perMs' in value;

function wordsOf(setting: SettingTable[string]): string {
  return setting.words === undefined ? '' : `: one of ${setting.words.map((one) => `\`${one}\``).join(', ')}`;
}

const withoutCommon = (table: SettingTable): SettingTable =>
  Object.fromEntries(Object.entries(table).filter(([, setting]) => !common.has(setting.env)));
