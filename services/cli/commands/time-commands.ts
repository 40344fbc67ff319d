import type { Command } from 'commander';
import { given, parseInteger, parseJson, printReply } from './session.ts';

/** `trivet schedule | unschedule | update`: what is to happen when. */
export function timeCommands(program: Command): void {
  scheduleCommands(program);
  program
    .command('update')
    .description('change an item that waits')
    .argument('<queue>')
    .argument('<id>')
    .option('--payload <json>', 'another payload')
    .option('--priority <word>', 'critical, high, normal or low')
    .option('--delay <duration>', 'wait that long from now on; 0s: at once')
    .option('--run-at <time>', 'the same, as an RFC 3339 time')
    .option('--max-attempts <n>', 'how often it is tried in all')
    .option('--backoff <text>', 'exponential:1s:1h or fixed:5s')
    .option('--timeout <duration>', 'longest run of one attempt')
    .option('--expires <duration>', 'never hand it out when it has waited longer from now on')
    .action(async (queue: string, id: string, options: Record<string, string>, command: Command) => {
      const { payload, maxAttempts, ...rest } = options;
      const body = given({
        id,
        ...rest,
        payload: payload === undefined ? undefined : parseJson(payload, '--payload'),
        maxAttempts: maxAttempts === undefined ? undefined : parseInteger(maxAttempts, '--max-attempts'),
      });
      await printReply(command, queue, 'update', body);
    });
}

function scheduleCommands(program: Command): void {
  program
    .command('schedule')
    .description('make an item at each moment that a cron pattern names')
    .argument('<queue>')
    .argument('<name>', 'of the schedule; one of that name is replaced')
    .argument('<cron>', 'five fields, or six with seconds first, such as "0 9 * * MON"')
    .argument('[payload]', 'JSON')
    .option('--time-zone <name>', 'such as Europe/Berlin; UTC unless given')
    .option('--missed <word>', 'what becomes of moments while no broker runs: once, skip or all')
    .option('--priority <word>', 'critical, high, normal or low')
    .action(
      async (
        queue: string,
        name: string,
        cron: string,
        payload: string | undefined,
        options: Record<string, string>,
        command: Command,
      ) => {
        const value = payload === undefined ? undefined : parseJson(payload, 'payload');
        const schedule = given({ cron, ...options, payload: value });
        await printReply(command, queue, 'configure', { schedules: { [name]: schedule } });
      },
    );
  program
    .command('unschedule')
    .description('remove a schedule')
    .argument('<queue>')
    .argument('<name>')
    .action(async (queue: string, name: string, _: unknown, command: Command) => {
      await printReply(command, queue, 'configure', { schedules: { [name]: null } });
    });
}
