import type { Command } from 'commander';
import type { Trivet } from '#shared/client/client.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { ask, given, inSession, parseInteger, print } from './session.ts';

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
      await inSession(command, async (trivet) =>
        print(await ask(trivet, trivet.subjects.queue(queue, 'workers'), {})),
      );
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
      await inSession(command, async (trivet) =>
        print(await ask(trivet, trivet.subjects.queue(queue, 'result'), { id, wait }, { timeoutMs: 70_000 })),
      );
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
      await inSession(command, async (trivet) =>
        print(await ask(trivet, trivet.subjects.queue(queue, 'logs'), body)),
      );
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
        if (id === undefined && state === undefined && all === undefined)
          throw new TrivetError(refuseField('id', 'or --state <word> or --all must be given').error);
        const body = given({
          id,
          state,
          all,
          limit: limit === undefined ? undefined : parseInteger(limit, '--limit'),
        });
        await inSession(command, async (trivet) => print(await purged(trivet, queue, body)));
      },
    );
}

interface Purged {
  readonly count: number;
  readonly more?: boolean;
}

/** Asks again until nothing is left, unless it was said how many at most. */
async function purged(trivet: Trivet, queue: string, body: object): Promise<Purged> {
  let count = 0;
  for (;;) {
    const reply = (await ask(trivet, trivet.subjects.queue(queue, 'purge'), body)) as Purged;
    count += reply.count;
    if (reply.more !== true || 'limit' in body) return { ...reply, count };
  }
}
