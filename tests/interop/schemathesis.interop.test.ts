import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { token } from '#tests/services/gateway/running-gateway.ts';
import { type RunningCluster, startCluster } from '#tests/services/gateway/running-cluster.ts';
import { pythonWithSchemathesis } from '#tests/support/python.ts';

// All checks of Schemathesis against the live gateway, from its own OpenAPI document. Longer, or from another seed:
// SCHEMATHESIS_SECONDS=600 SCHEMATHESIS_SEED=7 npm test -- schemathesis

const seconds = Number(process.env['SCHEMATHESIS_SECONDS'] ?? '35');
const seed = process.env['SCHEMATHESIS_SEED'] ?? '1';
/** Examples of one operation: by seconds, so that a longer run looks further. */
const examples = Math.max(2, Math.round(seconds / 15));
// A stream never ends by itself; the others change who may ask.
const left = ['/v1/events', '/v1/session'];

let cluster: RunningCluster;
let python: string;

beforeAll(async () => {
  python = await pythonWithSchemathesis();
  cluster = await startCluster();
}, 180_000);

afterAll(() => cluster?.stop());

test(
  'no request that the document allows or forbids gets a server error or an answer that it does not describe',
  async () => {
    const options = {
      '--header': `Authorization: Bearer ${token}`,
      '--checks': 'all',
      '--phases': 'examples,coverage,fuzzing',
      '--max-examples': String(examples),
      '--seed': seed,
      '--max-time': String(seconds),
      '--request-timeout': '30',
      '--suppress-health-check': 'all',
    };
    const run = spawn(python, [
      '-m',
      'schemathesis.cli',
      '--config-file',
      'tests/interop/schemathesis.toml',
      'run',
      `${cluster.gateway.http}/openapi.json`,
      '--no-color',
      '--no-shrink',
      ...Object.entries(options).flat(),
      ...left.flatMap((path) => ['--exclude-path', path]),
    ]);
    let said = '';
    for (const stream of [run.stdout, run.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-60_000);
      });
    const code = await new Promise<number | null>((resolve) => {
      run.once('close', resolve);
    });
    expect(said).toMatch(/[0-9]+ generated/);
    expect({ code, said: code === 0 ? '' : said }).toEqual({ code: 0, said: '' });
    // Nothing of ours failed on the way, and everybody is still there.
    expect(cluster.gateway.process.output()).not.toContain('request failed');
    expect((await cluster.gateway.call('GET', '/health/ready')).status).toBe(200);
  },
  (seconds + 120) * 1_000,
);
