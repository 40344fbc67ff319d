import type { Command } from 'commander';
import { ask, inSession, parseJson, print } from './session.ts';

/** `trivet enqueue-flow | children`. */
export function flowCommands(program: Command): void {
  program
    .command('enqueue-flow')
    .description('add a tree of items: each waits for its children')
    .argument('<queue>', 'queue of the root')
    .argument('<flow>', 'JSON, such as \'{"payload":1,"children":[{"queue":"mail","payload":2}]}\'')
    .action(async (queue: string, flow: string, _: unknown, command: Command) => {
      const body = parseJson(flow, 'flow');
      await inSession(command, async (trivet) =>
        print(await ask(trivet, trivet.subjects.queue(queue, 'enqueue-flow'), body)),
      );
    });
  program
    .command('children')
    .description('show the children of an item and what they left')
    .argument('<queue>')
    .argument('<id>')
    .action(async (queue: string, id: string, _: unknown, command: Command) => {
      await inSession(command, async (trivet) =>
        print(await ask(trivet, trivet.subjects.queue(queue, 'children'), { id })),
      );
    });
}
