import { exitCodes, StartRefused } from '#shared/runtime/exit-codes.ts';

import { cachePath, openCacheFolder } from './cache-folder.ts';
import { binaryVersion } from './local-sources.ts';
import type { NatsServerSource, SourceContext, SourceResult } from './source.ts';
import { natsServerSources } from './sources.ts';
import { floorText, isSupportedVersion } from './version.ts';

export interface NatsServerBinary {
  readonly path: string;
  /** As the binary itself says, for example `2.15.2`. */
  readonly version: string;
  /** The name of the source that had it. */
  readonly source: string;
}

export interface ResolveOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Gets one line an attempt; silent when absent. */
  readonly progress?: (line: string) => void;
  readonly sources?: readonly NatsServerSource[];
}

/**
 * Finds a nats-server that is new enough, obtaining one where the machine has none.
 * The first source in the table that has one wins; what it hands over is asked for its version before it counts.
 * @throws StartRefused (3) when every source failed; its message lists what was tried and why each failed
 */
export async function resolveNatsServer(options: ResolveOptions = {}): Promise<NatsServerBinary> {
  const env = options.env ?? process.env;
  const progress = options.progress ?? (() => undefined);
  const context: SourceContext = {
    env,
    platform: process.platform,
    arch: process.arch,
    cache: openCacheFolder(cachePath(env)),
    progress,
  };
  const attempts: { source: string; reason: string }[] = [];
  for (const source of options.sources ?? natsServerSources) {
    progress(`nats-server: trying ${source.name}`);
    const judged = await judge(await attempt(source, context));
    if (judged.kind === 'usable') {
      progress(`nats-server: ${judged.version} from ${source.name} (${judged.path})`);
      return { path: judged.path, version: judged.version, source: source.name };
    }
    progress(`nats-server: ${source.name}: ${judged.reason}`);
    attempts.push({ source: source.name, reason: judged.reason });
  }
  throw new StartRefused(exitCodes.missingPart, notFound(attempts));
}

function notFound(attempts: readonly { source: string; reason: string }[]): string {
  return [
    `No usable nats-server was found (it takes ${floorText}). What was tried:`,
    ...attempts.map(({ source, reason }) => `  - ${source}: ${reason}`),
    'Install a current nats-server (https://github.com/nats-io/nats-server/releases) and put it on PATH,',
    'or set NATS_URL to a running one, and start again.',
  ].join('\n');
}

async function attempt(source: NatsServerSource, context: SourceContext): Promise<SourceResult> {
  try {
    return await source.obtain(context);
  } catch (error) {
    // One source that breaks (a full disk, a mirror that answers nonsense) must not hide the next one.
    return { kind: 'absent', reason: error instanceof Error ? error.message : String(error) };
  }
}

type Judgement =
  | { readonly kind: 'usable'; readonly path: string; readonly version: string }
  | { readonly kind: 'refused'; readonly reason: string };

async function judge(result: SourceResult): Promise<Judgement> {
  if (result.kind === 'absent') return { kind: 'refused', reason: result.reason };
  const version = await binaryVersion(result.path);
  if (version === undefined) return { kind: 'refused', reason: `${result.path} does not start` };
  if (isSupportedVersion(version)) return { kind: 'usable', path: result.path, version };
  return { kind: 'refused', reason: `${result.path} is ${version}; it takes ${floorText}` };
}
