import type { Command } from 'commander';
import type { Trivet } from '#shared/client/client.ts';
import { withoutPlace } from '#shared/client/item-refusal.ts';
import { type Refusal, TrivetError } from '#shared/protocol/errors.ts';
import { ask, given, inSession, parseInteger, parseJson, print, printReply, requireOne } from './session.ts';

/** `trivet enqueue | dequeue | complete | fail | extend | release | get | list | cancel | replay | configure | describe | pause | resume | stats`. */
export function queueCommands(program: Command): void {
  addCommands(program);
  workerCommands(program);
  leaseCommands(program);
  lookCommands(program);
  adminCommands(program);
}

function addCommands(program: Command): void {
  program
    .command('enqueue')
    .description('add one item to a queue')
    .argument('<queue>')
    .argument('<payload>', 'JSON')
    .option('--priority <word>', 'critical, high, normal or low')
    .option('--delay <duration>', 'wait before it can be taken, such as 30s')
    .option('--run-at <time>', 'the same, as an RFC 3339 time')
    .option('--max-attempts <n>', 'how often it is tried (default: the queue’s, else 5)')
    .option('--backoff <text>', 'exponential:1s:1h or fixed:5s')
    .option('--timeout <duration>', 'longest run of one attempt')
    .option('--expires <duration>', 'never hand it out when it has waited longer')
    .option('--group <name>', 'what limits and turns of groups go by')
    .option('--key <text>', 'idempotency key')
    .option('--on-duplicate <word>', 'what the key means when it is known: keep, replace or debounce')
    .action(async (queue: string, payload: string, options: Record<string, string>, command: Command) => {
      const { maxAttempts, ...rest } = options;
      const item = given({
        payload: parseJson(payload, 'payload'),
        ...rest,
        maxAttempts: maxAttempts === undefined ? undefined : parseInteger(maxAttempts, '--max-attempts'),
      });
      await inSession(command, async (trivet) => {
        const reply = await ask(trivet, trivet.subjects.queue(queue, 'enqueue-many'), { items: [item] });
        const [added] = (reply as { items: { error?: Refusal }[] }).items;
        if (added?.error !== undefined) throw new TrivetError(withoutPlace(added.error));
        print(added);
      });
    });
}

const leaseToken = 'of the lease, a number: as dequeue gave it';

function workerCommands(program: Command): void {
  program
    .command('dequeue')
    .description('lease items of a queue')
    .argument('<queue>')
    .option('--max <n>', 'how many at most', '1')
    .option('--wait <duration>', 'wait for one, at most 60s', '0s')
    .option('--lease <duration>', 'how long they are yours (default: the queue’s, else 30s)')
    .option('--worker <name>', 'who takes them, as list and workers show it')
    .action(async (queue: string, { max, ...rest }: Record<string, string>, command: Command) => {
      const body = given({ max: parseInteger(max ?? '1', '--max'), ...rest });
      await printReply(command, queue, 'dequeue', body, { timeoutMs: 70_000 });
    });
  program
    .command('complete')
    .description('say that a leased item is done')
    .argument('<queue>')
    .argument('<id>')
    .argument('<token>', leaseToken)
    .argument('[result]', 'JSON')
    .action(
      async (
        queue: string,
        id: string,
        token: string,
        result: string | undefined,
        _: unknown,
        command: Command,
      ) => {
        const body = given({
          id,
          token: parseInteger(token, 'token'),
          result: result === undefined ? undefined : parseJson(result, 'result'),
        });
        await printReply(command, queue, 'complete', body);
      },
    );
  program
    .command('fail')
    .description('say that an attempt went wrong')
    .argument('<queue>')
    .argument('<id>')
    .argument('<token>', leaseToken)
    .argument('<message>', 'kept with the attempt, as text')
    .option('--no-retry', 'no further attempt')
    .action(
      async (
        queue: string,
        id: string,
        token: string,
        message: string,
        { retry }: { retry: boolean },
        command: Command,
      ) => {
        const body = { id, token: parseInteger(token, 'token'), error: { message }, retry };
        await printReply(command, queue, 'fail', body);
      },
    );
}

/** What a worker without a program of its own needs besides. */
function leaseCommands(program: Command): void {
  program
    .command('extend')
    .description('keep a leased item for longer, and say how far it is')
    .argument('<queue>')
    .argument('<id>')
    .argument('<token>', leaseToken)
    .argument('<lease>', 'how long from now on, such as 30s')
    .option('--progress <json>', 'shown with the item')
    .action(
      async (
        queue: string,
        id: string,
        token: string,
        lease: string,
        { progress }: { progress?: string },
        command: Command,
      ) => {
        const body = given({
          id,
          token: parseInteger(token, 'token'),
          lease,
          progress: progress === undefined ? undefined : parseJson(progress, '--progress'),
        });
        await printReply(command, queue, 'extend', body);
      },
    );
  program
    .command('release')
    .description('hand a leased item back; the attempt is not charged')
    .argument('<queue>')
    .argument('<id>')
    .argument('<token>', leaseToken)
    .option('--delay <duration>', 'nobody has it for so long')
    .action(
      async (queue: string, id: string, token: string, { delay }: { delay?: string }, command: Command) => {
        const body = given({ id, token: parseInteger(token, 'token'), delay });
        await printReply(command, queue, 'release', body);
      },
    );
}

function lookCommands(program: Command): void {
  program
    .command('get')
    .description('show one item with its history')
    .argument('<queue>')
    .argument('<id>')
    .action(async (queue: string, id: string, _: unknown, command: Command) => {
      await printReply(command, queue, 'get', { id });
    });
  program
    .command('list')
    .description('list items, oldest first')
    .argument('<queue>')
    .option('--state <word>', 'scheduled, blocked, pending, processing, retry, done, failed or cancelled')
    .option('--priority <word>', 'critical, high, normal or low')
    .option('--group <name>', 'of one group')
    .option('--key <text>', 'idempotency key')
    .option('--worker <name>', 'of the newest attempt')
    .option('--q <text>', 'text in the payload, or in the fields that the queue declares in search')
    .option('--limit <n>', 'how many on the page, at most 500 (default: 50)')
    .option('--cursor <text>', 'where the page before ended')
    .action(async (queue: string, { limit, ...rest }: Record<string, string>, command: Command) => {
      const body = given({
        ...rest,
        limit: limit === undefined ? undefined : parseInteger(limit, '--limit'),
      });
      await printReply(command, queue, 'list', body);
    });
  program
    .command('stats')
    .description('figures of one queue, or of all')
    .argument('[queue]')
    .action(async (queue: string | undefined, _: unknown, command: Command) => {
      await inSession(command, async (trivet) => {
        if (queue === undefined) print(await allStats(trivet));
        else print(await ask(trivet, trivet.subjects.queue(queue, 'stats'), {}));
      });
    });
}

/** The figures of all queues, page by page: many do not fit into one reply. */
async function allStats(trivet: Trivet): Promise<{ readonly queues: readonly unknown[] }> {
  const queues: unknown[] = [];
  let cursor: string | undefined;
  do {
    const page = await ask(trivet, trivet.subjects.queueStats, given({ cursor }));
    const read = page as { readonly queues: readonly unknown[]; readonly cursor?: string };
    queues.push(...read.queues);
    ({ cursor } = read);
  } while (cursor !== undefined);
  return { queues };
}

function adminCommands(program: Command): void {
  program
    .command('cancel')
    .description('cancel an item, or all of one state')
    .argument('<queue>')
    .argument('[id]')
    .option('--children', 'and everything below it')
    .option('--state <word>', 'all of them: scheduled, blocked, pending or retry')
    .action(
      async (
        queue: string,
        id: string | undefined,
        { children, state }: { children?: true; state?: string },
        command: Command,
      ) => {
        requireOne(id, { '--state <word>': state });
        await inSession(command, async (trivet) => {
          if (id === undefined) print({ count: await trivet.queue(queue).cancelAll(state as 'pending') });
          else print(await ask(trivet, trivet.subjects.queue(queue, 'cancel'), given({ id, children })));
        });
      },
    );
  program
    .command('replay')
    .description('give a failed item all its attempts again, or all that have failed until now')
    .argument('<queue>')
    .argument('[id]')
    .option('--failed', 'all of them, the oldest first')
    .action(
      async (queue: string, id: string | undefined, { failed }: { failed?: true }, command: Command) => {
        requireOne(id, { '--failed': failed });
        await inSession(command, async (trivet) => {
          if (id === undefined) print({ count: await trivet.queue(queue).replayAll() });
          else print(await ask(trivet, trivet.subjects.queue(queue, 'replay'), { id }));
        });
      },
    );
  program
    .command('configure')
    .description('set what a queue is to do; null takes a setting back to its default')
    .argument('<queue>')
    .argument('<settings>', 'JSON, such as \'{"concurrency":{"total":10}}\'')
    .action(async (queue: string, settings: string, _: unknown, command: Command) => {
      const body = parseJson(settings, 'settings');
      await printReply(command, queue, 'configure', body);
    });
  for (const [name, about] of [
    ['describe', 'show what a queue is set to'],
    ['pause', 'hand out nothing more'],
    ['resume', 'hand out again'],
  ] as const) {
    program
      .command(name)
      .description(about)
      .argument('<queue>')
      .action(async (queue: string, _: unknown, command: Command) => {
        await printReply(command, queue, name, {});
      });
  }
}
