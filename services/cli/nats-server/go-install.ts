import { join } from 'node:path';

import { lastLine, runCommand } from './run-command.ts';
import { absent, found, type NatsServerSource } from './source.ts';

const pinnedVersion = '2.15.2';

// A build from source takes half a minute on a laptop and a few minutes on a small machine.
const buildTimeoutMs = 15 * 60_000;

/**
 * Builds the pinned version from source. What is downloaded is checked by Go itself against its checksum database, so
 * a mirror that serves other code is found out.
 */
export const goInstall: NatsServerSource = {
  name: 'go install',
  obtain: async ({ env, cache, progress }) => {
    const go = await runCommand('go', ['version'], { timeoutMs: 10_000, env });
    if (go.exitCode !== 0) return absent('Go is not installed');
    progress(`building nats-server ${pinnedVersion} from source with ${go.stdout.trim()} (a minute or more)`);
    return cache.withWorkFolder(async (folder) => {
      const { exitCode, stderr } = await runCommand(
        'go',
        ['install', `github.com/nats-io/nats-server/v2@v${pinnedVersion}`],
        { timeoutMs: buildTimeoutMs, cwd: folder, env: checkedBuildEnvironment(env, folder) },
      );
      if (exitCode !== 0) return absent(`the build failed: ${lastLine(stderr)}`);
      return found(await cache.install(join(folder, 'nats-server'), pinnedVersion));
    });
  },
};

// Go falls back to its own settings file where a variable is empty, so what would switch the check off is overruled
// by a value that matches nothing.
function checkedBuildEnvironment(env: NodeJS.ProcessEnv, folder: string): NodeJS.ProcessEnv {
  return {
    ...env,
    GOBIN: folder,
    GOFLAGS: '-trimpath',
    GOSUMDB: 'sum.golang.org',
    GONOSUMDB: 'none.invalid',
    CGO_ENABLED: '0',
  };
}
