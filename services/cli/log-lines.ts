/** Turns what a process prints into the lines of the supervisor's own output. Pure. */

export interface LogLine {
  /** Name of the process, such as `queue-broker-1`. */
  readonly from: string;
  readonly text: string;
  /** When the line came, RFC 3339; used where the line itself has no time. */
  readonly at: string;
}

export interface LogStyle {
  readonly json: boolean;
  readonly colour: boolean;
  /** Masked wherever it turns up: the token is shown on the ready screen and nowhere else. */
  readonly secrets: readonly string[];
}

const nameWidth = 21;
const processColours = [36, 33, 35, 32, 34, 96, 93, 95] as const;
const levelColours: Readonly<Record<string, number>> = { warn: 33, error: 31, fatal: 31 };

interface Parsed {
  readonly level: string;
  readonly time: string;
  readonly message: string;
  readonly rest: Readonly<Record<string, unknown>>;
}

/** Lines of a start of nats-server that only decorate or repeat what is known: its banner, its version, its files. */
const natsStart = [
  /^[\s_|/\\()-]*$/,
  // Its figures are indented, its parts have a line of dashes.
  /^\s{2,}/,
  /^-{5,}/,
  /^(?:Starting nats-server|Starting JetStream|Starting http monitor|Using configuration file|Listening for)/,
  /^(?:Recovered|Restored|Starting restore|Took|Trusted)/,
];
// The password is in the environment of this nats-server alone, made for it and never on a disk that others read.
const natsKnown = /^Plaintext passwords detected/;

/** True for what tells nobody anything: a nats-server has 20 such lines at every start. */
export function isDecoration(text: string): boolean {
  const [, level, message = ''] = /^\[\d+\] \S+ \S+ \[(\w+)\] ?(.*)$/.exec(text) ?? [];
  if (level === 'WRN') return natsKnown.test(message);
  return level === 'INF' && natsStart.some((pattern) => pattern.test(message));
}

/** One line of output, without its line feed. */
export function formatLogLine(line: LogLine, style: LogStyle): string {
  const parsed = parsePino(line) ?? parseNatsServer(line) ?? plain(line);
  return masked(style.json ? asJson(line, parsed) : asText(line, parsed, style.colour), style.secrets);
}

function asJson(line: LogLine, { level, time, message, rest }: Parsed): string {
  return JSON.stringify({ level, time, name: line.from, msg: message, ...rest });
}

function asText(line: LogLine, { level, time, message, rest }: Parsed, colour: boolean): string {
  const paint = (code: number | undefined, text: string) =>
    colour && code !== undefined && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
  const clock = time.slice(11, 23);
  const name = paint(colourOf(line.from), line.from.padEnd(nameWidth));
  const shownLevel = level === 'info' ? '' : `${paint(levelColours[level], level.toUpperCase())} `;
  const extra = Object.entries(rest)
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
  return `${paint(2, clock)} ${name} │ ${shownLevel}${message}${paint(2, extra)}`;
}

function parsePino({ text, at }: LogLine): Parsed | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const {
      level,
      time,
      msg,
      name: _name,
      pid: _pid,
      err,
      ...rest
    } = JSON.parse(text) as Record<string, unknown>;
    if (typeof level !== 'string') return undefined;
    return {
      level,
      time: typeof time === 'string' ? time : at,
      message: [typeof msg === 'string' ? msg : '', errorText(err)].filter((part) => part !== '').join(': '),
      rest,
    };
  } catch {
    // It only looked like JSON.
    return undefined;
  }
}

function errorText(err: unknown): string {
  if (typeof err !== 'object' || err === null) return '';
  const { message, stack } = err as { message?: unknown; stack?: unknown };
  if (typeof stack === 'string') return stack;
  return typeof message === 'string' ? message : '';
}

const natsLevels: Readonly<Record<string, string>> = {
  INF: 'info',
  WRN: 'warn',
  ERR: 'error',
  FTL: 'fatal',
  DBG: 'debug',
  TRC: 'trace',
};

// [10727] 2026/11/23 02:08:50.052122 [INF] Server is ready
function parseNatsServer({ text }: LogLine): Parsed | undefined {
  const match = /^\[\d+\] (\d{4})\/(\d\d)\/(\d\d) (\d\d:\d\d:\d\d\.\d{3})\d* \[(\w{3})\] ?(.*)$/.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, clock, level, message] = match;
  return {
    level: natsLevels[level ?? ''] ?? 'info',
    time: `${year}-${month}-${day}T${clock}Z`,
    message: message ?? '',
    rest: {},
  };
}

function plain({ text, at }: LogLine): Parsed {
  return { level: 'info', time: at, message: text, rest: {} };
}

function colourOf(name: string): number {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  return processColours[sum % processColours.length] ?? processColours[0];
}

function masked(text: string, secrets: readonly string[]): string {
  return secrets.reduce((shown, secret) => (secret === '' ? shown : shown.replaceAll(secret, '•••')), text);
}
