import type { Command } from 'commander';
import { parseJson, printReply } from './session.ts';

/** `trivet enqueue-flow | children`. */
export function flowCommands(program: Command): void {
  program
    .command('enqueue-flow')
    .description('add a tree of items: each waits for its children')
    .argument('<queue>', 'queue of the root')
    .argument('<flow>', 'JSON, such as \'{"payload":1,"children":[{"queue":"mail","payload":2}]}\'')
    .action(async (queue: string, flow: string, _: unknown, command: Command) => {
      const body = parseJson(flow, 'flow');
      await printReply(command, queue, 'enqueue-flow', body);
    });
  program
    .command('children')
    .description('show the children of an item and what they left')
    .argument('<queue>')
    .argument('<id>')
    .action(async (queue: string, id: string, _: unknown, command: Command) => {
      await printReply(command, queue, 'children', { id });
    });
}
