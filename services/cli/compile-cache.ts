import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { cacheRoot } from './nats-server/cache-root.ts';

/**
 * Lets Node keep what it compiles for the next start, which is a third of what a short command takes: here, and in the
 * processes that this one starts. In a folder of this user and not where Node would, which is where everybody may
 * write: what is kept there is run. Where `NODE_COMPILE_CACHE` says something, that is left as it is. Where the folder
 * cannot be written nothing is kept.
 */
export function keepCompiled(env: NodeJS.ProcessEnv): void {
  if (env['NODE_COMPILE_CACHE'] !== undefined) return;
  const folder = compiledFolder(env);
  if (folder === undefined) return;
  enableCompileCache(folder);
  env['NODE_COMPILE_CACHE'] = folder;
}

function compiledFolder(env: NodeJS.ProcessEnv): string | undefined {
  try {
    return join(cacheRoot(env), 'compiled');
  } catch {
    // A user without a home, as in some containers.
    return undefined;
  }
}
