import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import { systemClock } from '#shared/runtime/clock.ts';
import { oldPrefixOption } from './cache-commands.ts';
import { exportLines, importLines, linesOf } from './cache-files.ts';
import { inSession, print } from './session.ts';

/** `trivet cache import | export`: whole namespaces as lines of JSON, to warm a cache up or to move it. */
export function cacheFileCommands(cache: Command): void {
  cache
    .command('import')
    .description('set the entries of a file: a line of JSON each, as export writes them')
    .argument('<file>', 'such as file.ndjson; - is the standard input')
    .option('--namespace <name>', 'of the lines that name none; those that name one go there')
    .option('--if-absent', 'leave alone what is there')
    .action(async (file: string, options: { namespace?: string; ifAbsent?: true }, command: Command) => {
      const input = await inputOf(file);
      await inSession(command, async (trivet) => {
        const imported = await importLines(trivet, linesOf(input), {
          namespace: options.namespace,
          ifAbsent: options.ifAbsent === true,
          nowMs: () => systemClock.nowMs(),
          told: (line) => process.stderr.write(`${line}\n`),
        });
        print(imported);
        if (imported.refused > 0) throw new Error(`${imported.refused} lines were refused`);
      });
    });
  cache
    .command('export')
    .description('write all entries of a namespace, a line of JSON each')
    .argument('<namespace>')
    .argument('[file]', 'default, and -: the standard output')
    .option('--prefix <text>', 'only keys that begin with it')
    .addOption(oldPrefixOption())
    .action(async (namespace: string, path: string | undefined, options: ExportFlags, command: Command) => {
      const { startingWith, prefix = startingWith } = options;
      const file = path === '-' ? undefined : path;
      await inSession(command, async (trivet) => {
        const output = file === undefined ? process.stdout : createWriteStream(file);
        if (file !== undefined) await once(output, 'open');
        const exported = await exportLines(trivet, namespace, {
          prefix,
          nowMs: () => systemClock.nowMs(),
          write: async (line) => {
            if (!output.write(line)) await once(output, 'drain');
          },
        });
        if (file === undefined) return;
        output.end();
        await once(output, 'finish');
        print({ exported });
      });
    });
}

interface ExportFlags {
  readonly prefix?: string;
  readonly startingWith?: string;
}

/** A file that cannot be read is told before anything is asked of the cache. */
async function inputOf(file: string): Promise<NodeJS.ReadableStream> {
  if (file === '-') return process.stdin;
  const handle = await open(file);
  await handle.close();
  return createReadStream(file);
}
