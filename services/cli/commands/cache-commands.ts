import { type Command, Option } from 'commander';
import { durationOf } from './durations.ts';
import { ask, given, inSession, parseInteger, parseJson, print } from './session.ts';

/** `trivet cache get | set | delete | exists | touch | increment | clear | invalidate | keys | stats | configure`. */
export function cacheCommands(cache: Command): void {
  setCommand(cache);
  keyCommands(cache);
  changeCommands(cache);
  namespaceCommands(cache);
  keysCommand(cache);
}

function setCommand(cache: Command): void {
  cache
    .command('set')
    .description('set an entry')
    .argument('<namespace>')
    .argument('<key>')
    .argument('<value>', 'JSON')
    .option('--ttl <duration>', 'such as 30s; 0: never expires (default: the namespace’s)')
    .option('--sliding', 'each hit starts the ttl again')
    .option('--grace <duration>', 'how long after its ttl it may still be served')
    .option('--tag <word...>', 'words by which it can be invalidated')
    .option('--if-absent', 'only when the key is not there')
    .option('--if-version <n>', 'only when the entry has this version')
    .action(async (namespace: string, key: string, value: string, options: SetFlags, command: Command) => {
      const { tag, ifVersion, ...rest } = options;
      const body = given({
        key,
        value: parseJson(value, 'value'),
        ...rest,
        tags: tag,
        ifVersion: ifVersion === undefined ? undefined : parseInteger(ifVersion, '--if-version'),
      });
      await askNamespace(command, namespace, 'set', body);
    });
}

interface SetFlags {
  readonly ttl?: string;
  readonly sliding?: true;
  readonly grace?: string;
  readonly tag?: readonly string[];
  readonly ifAbsent?: true;
  readonly ifVersion?: string;
}

function keyCommands(cache: Command): void {
  for (const [name, about] of [
    ['get', 'show an entry'],
    ['exists', 'say whether there is an entry'],
  ] as const) {
    cache
      .command(name)
      .description(about)
      .argument('<namespace>')
      .argument('<key>')
      .action(async (namespace: string, key: string, _: unknown, command: Command) =>
        askNamespace(command, namespace, name, { key }),
      );
  }
  cache
    .command('delete')
    .description('remove entries')
    .argument('<namespace>')
    .argument('<key...>')
    .action(async (namespace: string, keys: readonly string[], _: unknown, command: Command) => {
      const [key] = keys;
      if (keys.length === 1) await askNamespace(command, namespace, 'delete', { key });
      else await askNamespace(command, namespace, 'delete-many', { keys });
    });
}

function changeCommands(cache: Command): void {
  cache
    .command('touch')
    .description('give an entry a new ttl')
    .argument('<namespace>')
    .argument('<key>')
    .argument('<ttl>', 'such as 30s; 0: never expires')
    .action(async (namespace: string, key: string, ttl: string, _: unknown, command: Command) =>
      askNamespace(command, namespace, 'touch', { key, ttl: durationOf(ttl) }),
    );
  cache
    .command('increment')
    .description('add to a counter')
    .argument('<namespace>')
    .argument('<key>')
    .argument('[by]', 'a whole number; may be negative behind --', '1')
    .option('--ttl <duration>', 'when this makes the entry')
    .action(
      async (namespace: string, key: string, by: string, { ttl }: { ttl?: string }, command: Command) => {
        const negative = by.startsWith('-');
        const amount = parseInteger(negative ? by.slice(1) : by, 'by');
        await askNamespace(
          command,
          namespace,
          'increment',
          given({ key, by: negative ? -amount : amount, ttl }),
        );
      },
    );
  cache
    .command('invalidate')
    .description('remove all entries that have one of these tags')
    .argument('<namespace>')
    .argument('<tag...>')
    .action(async (namespace: string, tags: readonly string[], _: unknown, command: Command) =>
      askNamespace(command, namespace, 'invalidate-tags', { tags }),
    );
}

function namespaceCommands(cache: Command): void {
  cache
    .command('clear')
    .description('remove all entries')
    .argument('<namespace>')
    .action(async (namespace: string, _: unknown, command: Command) =>
      askNamespace(command, namespace, 'clear', {}),
    );
  cache
    .command('configure')
    .description('set what a namespace is to do')
    .argument('<namespace>')
    .argument('<settings>', 'JSON, such as \'{"entriesMax":10000,"strategy":"s3-fifo","defaultTtl":"1h"}\'')
    .action(async (namespace: string, settings: string, _: unknown, command: Command) =>
      askNamespace(command, namespace, 'configure', parseJson(settings, 'settings')),
    );
  cache
    .command('stats')
    .description('figures of one namespace, or of the whole cache')
    .argument('[namespace]')
    .action(async (namespace: string | undefined, _: unknown, command: Command) => {
      if (namespace !== undefined) return askNamespace(command, namespace, 'stats', {});
      return inSession(command, async (trivet) => print(await ask(trivet, trivet.subjects.cacheStats, {})));
    });
}

function keysCommand(cache: Command): void {
  cache
    .command('keys')
    .description('list keys')
    .argument('<namespace>')
    .option('--prefix <text>', 'only keys that begin with it')
    .addOption(oldPrefixOption())
    .option('--limit <n>', 'at most so many on the page')
    .option('--cursor <text>', 'where the page before ended')
    .action(async (namespace: string, options: KeysFlags, command: Command) => {
      const { startingWith, prefix = startingWith, limit, cursor } = options;
      const page = limit === undefined ? undefined : parseInteger(limit, '--limit');
      await askNamespace(command, namespace, 'keys', given({ prefix, limit: page, cursor }));
    });
}

interface KeysFlags {
  readonly prefix?: string;
  readonly startingWith?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

const askNamespace = (command: Command, namespace: string, operation: string, body: unknown): Promise<void> =>
  inSession(command, async (trivet) =>
    print(await ask(trivet, trivet.subjects.cache(namespace, operation), body)),
  );

/** What `--prefix` was called at first. */
export const oldPrefixOption = (): Option => new Option('--starting-with <text>').hideHelp();
