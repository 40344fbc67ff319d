import type { Command } from 'commander';
import {
  type Nats,
  createInbox,
  onDisconnect,
  onForbidden,
  onRefused,
  onReconnect,
  subscribe,
} from '#shared/runtime/nats.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, TrivetError, refuse } from '#shared/protocol/errors.ts';
import { ask, given, inSession, parseInteger, print } from './session.ts';

const atLeast = 'at least so severe: debug, info, warning, error or critical';
const timeOrAgo = 'an RFC 3339 time, or how long ago (15m)';

type Options = Readonly<Record<string, string | undefined>>;

/** `trivet telemetry stats | series | events | errors | logs | operations | history | alerts | tail`. */
export function telemetryCommands(program: Command): void {
  const telemetry = program.command('telemetry').description('ask the collectors');
  const query = (name: string, about: string) => telemetry.command(name).description(about);
  const limited = (command: Command) =>
    command.option('--source <name>', 'of one source').option('--limit <n>', 'at most so many');
  asking(query('stats', 'what was received, exported, refused and is pending, and by whom'));
  asking(limited(query('series', 'metrics and their values')).option('--name <name>', 'of one metric'));
  for (const [name, about] of [
    ['events', 'recent events'],
    ['errors', 'recent errors, and their groups by cause'],
    ['logs', 'recent log records'],
  ] as const) {
    asking(
      limited(query(name, about))
        .option('--level <level>', atLeast)
        .option('--since <time|ago>', `not older than this: ${timeOrAgo}`),
    );
  }
  asking(
    query('operations', 'operations with success rate and percentiles')
      .option('--operation <name>', 'of one operation')
      .option('--source <name>', 'of one source'),
  );
  asking(
    limited(query('history', 'what the series of a metric were over time'))
      .requiredOption('--name <name>', 'the metric')
      .option('--from <time|ago>', `from then on: ${timeOrAgo}`)
      .option('--to <time|ago>', 'up to then')
      .option('--step <duration>', 'no finer than this'),
  );
  asking(query('alerts', 'alerts and whether they fire'));
  query('tail', 'show events, errors and log records as they come, until Ctrl-C')
    .option('--source <name>', 'of one source')
    .option('--level <level>', atLeast)
    .action(async (_: unknown, command: Command) => tail(command));
}

/** The command asks the query of its own name, with its options as the request. */
function asking(command: Command): void {
  const query = command.name();
  command.action(async (_: unknown, called: Command) => {
    const { limit, ...options } = called.opts<Options>();
    const body = given({
      ...options,
      limit: limit === undefined ? undefined : parseInteger(limit, '--limit'),
    });
    await inSession(called, async (trivet) =>
      print(await ask(trivet, trivet.subjects.telemetryQuery(query), body)),
    );
  });
}

const renewMs = 10_000;
// Where nobody answers, a collector that is started again is found soon.
const retryMs = 1_000;

/** What a collector sends to who watches. */
interface TailMessage {
  readonly records?: readonly unknown[];
  readonly missed?: number;
  readonly ended?: boolean;
  readonly error?: Refusal;
}

/** Asks again and again from one inbox; every record is printed as it comes. */
async function tail(command: Command): Promise<void> {
  const body = encode(given({ ...command.opts<Options>(), lease: '30s', max: 10_000 }), json);
  await inSession(command, async ({ nats, subjects }) => {
    const inbox = createInbox(nats.inboxPrefix);
    const over = Promise.withResolvers<void>();
    let timer: NodeJS.Timeout | undefined;
    let isAlone = false;
    const askIn = (delayMs: number) => {
      clearTimeout(timer);
      timer = setTimeout(request, delayMs);
    };
    const request = () => {
      nats.connection.publish(subjects.telemetryQuery('tail'), body, { reply: inbox });
      askIn(renewMs);
    };
    const forbid = (error: Error) => over.reject(new TrivetError(refuse('forbidden', error.message).error));
    watchConnection(nats, { onBack: request, onForbidden: forbid });
    const subscription = subscribe(nats, inbox, { onForbidden: forbid }, (message) => {
      // The server's word, without a body: nobody has subscribed to the question.
      if (message.data.length === 0) {
        if (!isAlone) console.error('no collector answers; waiting for one');
        isAlone = true;
        askIn(retryMs);
        return;
      }
      isAlone = false;
      const { records = [], missed = 0, ended = false, error } = message.json<TailMessage>();
      for (const record of records) print(record);
      if (missed > 0) console.error(`${missed} records were missed`);
      if (error !== undefined) over.reject(new TrivetError(error));
      if (ended) request();
    });
    request();
    process.once('SIGINT', () => over.resolve());
    // Whoever reads what is printed has read enough: `… tail | head`.
    process.stdout.once('error', () => over.resolve());
    await over.promise.finally(() => {
      clearTimeout(timer);
      subscription.unsubscribe();
    });
  });
}

/** For as long as the connection lives. */
function watchConnection(
  nats: Nats,
  told: { readonly onBack: () => void; readonly onForbidden: (error: Error) => void },
): void {
  let isAway = false;
  let isRefused = false;
  onDisconnect(nats, () => {
    if (!isAway) console.error('NATS went away; waiting for it');
    isAway = true;
  });
  onReconnect(nats, () => {
    isAway = false;
    isRefused = false;
    told.onBack();
  });
  onRefused(nats, () => {
    // Not the end: while no gateway runs nobody's token is known.
    if (!isRefused)
      console.error('NATS refuses the token: it was revoked, has expired, or nobody is there to check it');
    isRefused = true;
  });
  onForbidden(nats, told.onForbidden);
}
