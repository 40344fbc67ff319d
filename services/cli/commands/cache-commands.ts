import type { Command } from 'commander';
import { ask, given, inSession, parseJson, print } from './session.ts';

/** `trivet cache get | set | delete | keys | stats`. */
export function cacheCommands(program: Command): void {
  const cache = program.command('cache').description('look into the cache and change it');
  cache
    .command('set')
    .argument('<namespace>')
    .argument('<key>')
    .argument('<value>', 'JSON')
    .option('--ttl <duration>')
    .action(
      async (namespace: string, key: string, value: string, { ttl }: { ttl?: string }, command: Command) => {
        const body = given({ key, value: parseJson(value, 'value'), ttl });
        await inSession(command, async (trivet) =>
          print(await ask(trivet, trivet.subjects.cache(namespace, 'set'), body)),
        );
      },
    );
  for (const [name, about] of [
    ['get', 'show an entry'],
    ['delete', 'remove an entry'],
  ] as const) {
    cache
      .command(name)
      .description(about)
      .argument('<namespace>')
      .argument('<key>')
      .action(async (namespace: string, key: string, _: unknown, command: Command) => {
        await inSession(command, async (trivet) =>
          print(await ask(trivet, trivet.subjects.cache(namespace, name), { key })),
        );
      });
  }
  cache
    .command('keys')
    .description('list keys')
    .argument('<namespace>')
    .option('--starting-with <text>', 'only keys that begin with it')
    .option('--cursor <text>')
    .action(async (namespace: string, _: unknown, command: Command) => {
      const { startingWith: prefix, cursor } = command.opts<{ startingWith?: string; cursor?: string }>();
      await inSession(command, async (trivet) =>
        print(await ask(trivet, trivet.subjects.cache(namespace, 'keys'), given({ prefix, cursor }))),
      );
    });
  cache
    .command('stats')
    .description('figures of one namespace, or of the whole cache')
    .argument('[namespace]')
    .action(async (namespace: string | undefined, _: unknown, command: Command) => {
      await inSession(command, async (trivet) => {
        const subject =
          namespace === undefined ? trivet.subjects.cacheStats : trivet.subjects.cache(namespace, 'stats');
        print(await ask(trivet, subject, {}));
      });
    });
}
