import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface StartedCluster {
  readonly nats: string;
  readonly http: string;
  readonly token: string;
  stop(): Promise<void>;
}

const readyWord = 'trivet ready ';
const linesKept = 20;

/**
 * Starts what `npm start` starts, in `data` and on free ports; its log goes to `data`/demo.log.
 * Rejects with the last lines of the log when it does not come up.
 */
export async function startCluster(data: string): Promise<StartedCluster> {
  const entry = fileURLToPath(new URL('start.ts', new URL('..', import.meta.url)));
  const args = [
    entry,
    '--data',
    join(data, 'cluster'),
    '--nats-port',
    '0',
    '--http-port',
    '0',
    '--json-logs',
  ];
  const env: NodeJS.ProcessEnv = { ...process.env };
  // A demo is a cluster of its own, whatever the shell says about another one.
  for (const name of Object.keys(env))
    if (name === 'NATS_URL' || (name.startsWith('TRIVET_') && name !== 'TRIVET_CACHE_DIR')) delete env[name];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const log = createWriteStream(join(data, 'demo.log'));
  const last: string[] = [];
  const ready = new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line.startsWith(readyWord)) return resolve(line.slice(readyWord.length));
        log.write(`${line}\n`);
        last.push(line);
        if (last.length > linesKept) last.shift();
      });
    }
    child.once('exit', (code) => reject(new Error(`the cluster ended with ${code}:\n${last.join('\n')}`)));
  });
  process.once('exit', () => child.kill('SIGKILL'));
  const { nats, http, token } = JSON.parse(await ready) as { nats: string; http: string; token: string };
  return {
    nats,
    http,
    token,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      log.end();
    },
  };
}
