import { readFileSync } from 'node:fs';
import { isPrefix, prefixForm } from '#shared/protocol/names.ts';
import { withoutCredentials } from './nats-address.ts';

/**
 * Configuration from the environment and a JSON file into one frozen object, or every fault at once, by name.
 * The environment wins over the file, the file over the default.
 */
export interface Setting<T> {
  /** The environment variable; the file uses the setting's own name. */
  readonly env: string;
  readonly about: string;
  /** Left out where the setting must be given. */
  readonly default?: T;
  /** Its value is never shown, in no fault either; it may be in a file that `<env>_FILE` names. */
  readonly secret?: boolean;
  /** What it may be, where that is one of a few words. */
  readonly words?: readonly string[];
  /** The value of `text`, or what it must be, as the rest of a sentence that begins "must be". */
  readonly parse: (text: string) => { readonly value: T } | { readonly expected: string };
}

// eslint-style `any` is not allowed here; `never` makes the table accept settings of every type.
export type SettingTable = Readonly<Record<string, Setting<never> | Setting<unknown>>>;

export type ConfigOf<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer Value> ? Value : never;
};

type About<T> = Pick<Setting<T>, 'env' | 'about' | 'default' | 'secret'>;

export const text = <T extends string | undefined = string>(setting: About<T>): Setting<T> => ({
  ...setting,
  parse: (given) => ({ value: given as T }),
});

export const word = <const W extends string>(
  setting: About<W> & { readonly words: readonly W[] },
): Setting<W> => ({
  ...setting,
  parse: (given) => {
    const found = setting.words.find((one) => one === given);
    return found === undefined ? { expected: `one of ${setting.words.join(', ')}` } : { value: found };
  },
});

export const integer = (
  setting: About<number> & { readonly min: number; readonly max: number },
): Setting<number> => ({
  ...setting,
  parse: (given) => {
    const value = /^-?[0-9]{1,15}$/.test(given) ? Number(given) : Number.NaN;
    return value >= setting.min && value <= setting.max
      ? { value }
      : { expected: `a whole number from ${setting.min} to ${setting.max}` };
  },
});

/** A TCP port; 0 is any free one. */
export const port = (setting: About<number>): Setting<number> => integer({ ...setting, min: 0, max: 65_535 });

/** A port, or `off` for none. */
export const portOrOff = (setting: About<number | 'off'>): Setting<number | 'off'> => ({
  ...setting,
  parse: (given) => {
    if (given === 'off') return { value: 'off' };
    const value = /^[0-9]{1,5}$/.test(given) ? Number(given) : Number.NaN;
    return value <= 65_535 ? { value } : { expected: 'off or a whole number from 0 to 65535' };
  },
});

export const prefix = (setting: About<string>): Setting<string> => ({
  ...setting,
  parse: (given) => (isPrefix(given) ? { value: given } : { expected: prefixForm }),
});

/** A URL with one of the schemes, or several with commas between. */
export const urls = <T extends string | undefined>(
  setting: About<T> & { readonly schemes: readonly string[] },
): Setting<T> => ({
  ...setting,
  // nats.js and the OTLP exporters take several servers or a path; only the scheme is judged here.
  parse: (given) =>
    given
      .split(',')
      .every((one) => URL.canParse(one) && setting.schemes.some((scheme) => one.startsWith(`${scheme}://`)))
      ? { value: given as T }
      : {
          expected: `a URL that begins with ${setting.schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
        },
});

/** Where NATS is. nats.js takes a host without a scheme, too. */
const natsUrl: Setting<string> = {
  env: 'NATS_URL',
  default: 'nats://127.0.0.1:4222',
  about: 'the NATS to live on',
  parse: (given) =>
    withoutCredentials(given)
      .split(',')
      .every((one) => URL.canParse(one.includes('://') ? one : `nats://${one}`))
      ? { value: given }
      : { expected: 'an address such as nats://host:4222, or several with commas between' },
};

/** It stands in subjects and keys of NATS. */
const processName = (service: string): Setting<string> => ({
  env: 'TRIVET_NAME',
  default: `${service}-1`,
  about: 'name of this process, stable over restarts',
  parse: (given) =>
    /^[^\s.*>]+(?:\.[^\s.*>]+)*$/.test(given) && given.length <= nameLengthMax
      ? { value: given }
      : {
          expected: `1 to ${nameLengthMax} characters without blanks, * and >, and dots between others alone`,
        },
});

const nameLengthMax = 128;

export const defaultRedisUrl = 'redis://127.0.0.1:6379';

/** Where a Redis is. It may hold a password. */
export const redisUrl = (about: string): Setting<string> => ({
  env: 'TRIVET_REDIS_URL',
  default: defaultRedisUrl,
  about: `${about}: redis://[[user]:password@]host[:port][/database], rediss:// for TLS`,
  secret: true,
  parse: (given) =>
    /^rediss?:\/\/./.test(given) && URL.canParse(given)
      ? { value: given }
      : { expected: 'a URL that begins with redis:// or rediss://' },
});

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON object with settings by their names. */
  readonly file?: string | undefined;
}

/**
 * Reads every setting of the table.
 * @returns the frozen configuration, or all faults as sentences that name setting and variable; never throws
 */
export function readConfig<Table extends SettingTable>(
  table: Table,
  sources: ConfigSources,
): { readonly config: ConfigOf<Table> } | { readonly faults: readonly string[] } {
  const faults: string[] = [];
  const fromFile = readFile(sources.file, Object.keys(table), faults);
  const config: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table)) {
    const said = saidBy(setting, sources.env);
    if (said !== undefined && 'fault' in said) {
      faults.push(said.fault);
      continue;
    }
    const value = said?.value ?? fromFile[name];
    const origin = said?.origin ?? `${name} in ${sources.file}`;
    if (value === undefined) {
      if (Object.hasOwn(setting, 'default')) config[name] = setting.default;
      else faults.push(`${setting.env} is missing: ${setting.about}`);
      continue;
    }
    const parsed = setting.parse(value);
    if ('value' in parsed) config[name] = parsed.value;
    else
      faults.push(
        `${origin} must be ${parsed.expected}${setting.secret === true ? '' : `, not ${JSON.stringify(withoutCredentials(value))}`}`,
      );
  }
  if (faults.length > 0) return { faults };
  return { config: Object.freeze(config) as ConfigOf<Table> };
}

type Said = { readonly value: string; readonly origin: string } | { readonly fault: string };

/** What the environment says, and which variable says it; undefined where it says nothing. */
function saidBy(setting: SettingTable[string], env: ConfigSources['env']): Said | undefined {
  const value = env[setting.env] ?? '';
  const fileVariable = `${setting.env}_FILE`;
  const file = setting.secret === true ? (env[fileVariable] ?? '') : '';
  if (value !== '' && file !== '') return { fault: `${setting.env} and ${fileVariable} exclude each other` };
  if (value !== '') return { value, origin: setting.env };
  if (file === '') return undefined;
  try {
    // Editors and `echo` end a file with a line break that is no part of the secret.
    return {
      value: readFileSync(file, 'utf8').replace(/\r?\n$/, ''),
      origin: `the content of ${fileVariable}`,
    };
  } catch (error) {
    return {
      fault: `${fileVariable} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

function readFile(
  file: string | undefined,
  known: readonly string[],
  faults: string[],
): Readonly<Record<string, string>> {
  if (file === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    faults.push(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    return {};
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    faults.push(`${file} must hold a JSON object`);
    return {};
  }
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(parsed)) {
    if (!known.includes(name)) faults.push(`${name} in ${file} is not a known setting`);
    else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      values[name] = String(value);
    else faults.push(`${name} in ${file} must be a string, a number or a boolean`);
  }
  return values;
}

/** The file with settings: `--config FILE`, or `TRIVET_CONFIG` where the command line is not the service's own. */
export function configFile(own: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly argv: readonly string[];
}): string | undefined {
  const at = own.argv.indexOf('--config');
  return at < 0 ? own.env['TRIVET_CONFIG'] : own.argv[at + 1];
}

/** The settings that every service has. */
export const commonSettings = {
  natsUrl,
  natsUser: text<string | undefined>({
    env: 'TRIVET_NATS_USER',
    default: undefined,
    about: 'the service user on that NATS',
  }),
  natsPassword: text<string | undefined>({
    env: 'TRIVET_NATS_PASSWORD',
    default: undefined,
    about: 'its password',
    secret: true,
  }),
  prefix: prefix({ env: 'TRIVET_PREFIX', default: 'trivet', about: 'the first token of every subject' }),
  replicas: integer({
    env: 'TRIVET_REPLICAS',
    default: 1,
    min: 1,
    max: 5,
    about: 'copies that NATS keeps of every stream (1 or 3 in practice)',
  }),
  logLevel: word({
    env: 'TRIVET_LOG_LEVEL',
    default: 'info',
    words: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    about: 'the least severe log line that is written',
  }),
  otlpEndpoint: urls<string | undefined>({
    env: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    default: undefined,
    about: 'where OTLP goes (http/protobuf), such as http://127.0.0.1:4318',
    schemes: ['http', 'https'],
  }),
} as const;

/** A process's own settings: its name and its folder. */
export const processSettings = (service: string) =>
  ({
    name: processName(service),
    data: text({ env: 'TRIVET_DATA', default: `.trivet/${service}-1`, about: 'folder of this process' }),
  }) as const;
