import type { Command } from 'commander';
import { createInbox, subscribe } from '#shared/runtime/nats.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { ask, given, inSession, parseInteger, print } from './session.ts';

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
        .option('--level <level>', 'at least so severe')
        .option('--since <time>', 'not older than this'),
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
      .option('--from <time>', 'from then on')
      .option('--to <time>', 'up to then')
      .option('--step <duration>', 'no finer than this'),
  );
  asking(query('alerts', 'alerts and whether they fire'));
  query('tail', 'show events, errors and log records as they come, until Ctrl-C')
    .option('--source <name>', 'of one source')
    .option('--level <level>', 'at least so severe')
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

/** Asks again and again from one inbox; every record is printed as it comes. */
async function tail(command: Command): Promise<void> {
  const body = encode(given({ ...command.opts<Options>(), lease: '30s', max: 10_000 }), json);
  await inSession(command, async ({ nats, subjects }) => {
    const inbox = createInbox();
    const request = () => nats.connection.publish(subjects.telemetryQuery('tail'), body, { reply: inbox });
    const failed = Promise.withResolvers<void>();
    const subscription = subscribe(nats, inbox, {}, (message) => {
      const said = message.json<{
        records?: readonly unknown[];
        missed?: number;
        error?: { message: string };
      }>();
      for (const record of said.records ?? []) print(record);
      if (said.missed !== undefined && said.missed > 0) console.error(`${said.missed} records were missed`);
      if (said.error !== undefined) failed.reject(new Error(said.error.message));
    });
    request();
    const timer = setInterval(request, renewMs);
    process.once('SIGINT', () => failed.resolve());
    await failed.promise.finally(() => {
      clearInterval(timer);
      subscription.unsubscribe();
    });
  });
}
