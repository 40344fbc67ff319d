import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where commands keep what they can make again: `$TRIVET_CACHE_DIR`, else `$XDG_CACHE_HOME/trivet`, else
 * `~/.cache/trivet`. Throws where the user has no home.
 */
export function cacheRoot(env: NodeJS.ProcessEnv): string {
  const own = env['TRIVET_CACHE_DIR'];
  if (own !== undefined && own !== '') return own;
  const shared = env['XDG_CACHE_HOME'];
  return join(shared !== undefined && shared !== '' ? shared : join(homedir(), '.cache'), 'trivet');
}
