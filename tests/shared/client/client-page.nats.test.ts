import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
beforeAll(async () => {
  client = await startClient();
});
afterAll(() => client.stop());

/** What a line of the page says that it prints: what stands behind `//` after a `console.log`. */
const promisedOutput = /console\.log\(.*\);? \/\/ (.*)$/gm;

test('the program on docs/client.md runs and prints what it says', { timeout: 60_000 }, async () => {
  const page = readFileSync('docs/client.md', 'utf8');
  const program = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((block) => block[1]).join('\n');
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module-typescript', '--eval', program],
    { env: { ...process.env, NATS_URL: client.server.url, NODE_OPTIONS: '' }, timeout: 50_000 },
  );
  expect(stderr).toBe('');
  const promised = [...program.matchAll(promisedOutput)].map((match) => match[1] ?? '');
  expect(promised.length).toBeGreaterThan(6);
  const printed = stdout.trim().split('\n');
  for (const line of promised) expect(printed).toContain(line);
});
