import type { Command } from 'commander';
import { given, inSession, parseInteger, print, printReply, requireOne } from './session.ts';

/** `trivet result | logs | purge | workers`. */
export function itemCommands(program: Command): void {
  resultCommand(program);
  logsCommand(program);
  purgeCommand(program);
  program
    .command('workers')
    .description('who works on what of a queue, and who waits for work')
    .argument('<queue>')
    .action(async (queue: string, _: unknown, command: Command) => {
      await printReply(command, queue, 'workers', {});
    });
}

function resultCommand(program: Command): void {
  program
    .command('result')
    .description('show an item as soon as it has ended')
    .argument('<queue>')
    .argument('<id>')
    .option('--wait <duration>', 'how long to wait for that, at most 60s', '0s')
    .action(async (queue: string, id: string, { wait }: Record<string, string>, command: Command) => {
      await printReply(command, queue, 'result', { id, wait }, { timeoutMs: 70_000 });
    });
}

function logsCommand(program: Command): void {
  program
    .command('logs')
    .description('show the lines that workers logged for an item')
    .argument('<queue>')
    .argument('<id>')
    .option('--after <n>', 'only lines with larger numbers')
    .option('--limit <n>', 'how many at most, up to 1000 (default: 100)')
    .action(async (queue: string, id: string, options: Record<string, string>, command: Command) => {
      const { after, limit } = options;
      const body = given({
        id,
        after: after === undefined ? undefined : parseInteger(after, '--after'),
        limit: limit === undefined ? undefined : parseInteger(limit, '--limit'),
      });
      await printReply(command, queue, 'logs', body);
    });
}

function purgeCommand(program: Command): void {
  program
    .command('purge')
    .description(
      'remove an item, all of one state, or the whole queue with all that is known of it, for good',
    )
    .argument('<queue>')
    .argument('[id]')
    .option('--state <word>', 'scheduled, blocked, pending, retry, done, failed or cancelled')
    .option('--all', 'the whole queue, what is worked on among it')
    .option('--limit <n>', 'how many items at most')
    .action(
      async (
        queue: string,
        id: string | undefined,
        { state, all, limit }: { state?: string; all?: true; limit?: string },
        command: Command,
      ) => {
        requireOne(id, { '--state <word>': state, '--all': all });
        const what = given({ id, state, all });
        const most = limit === undefined ? undefined : parseInteger(limit, '--limit');
        if (most !== undefined) return printReply(command, queue, 'purge', { ...what, limit: most });
        await inSession(command, async (trivet) =>
          print({ count: await trivet.queue(queue).purge(what), more: false }),
        );
      },
    );
}
