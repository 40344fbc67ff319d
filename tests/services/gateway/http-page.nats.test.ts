import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { token } from './running-gateway.ts';
import { type RunningCluster, startCluster } from './running-cluster.ts';

// The lines of docs/http.md, as they stand.

let cluster: RunningCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

test('every line of the page about HTTP works as it stands', async () => {
  const page = readFileSync('docs/http.md', 'utf8');
  const script = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map((match) => match[1]).join('\n');
  expect(script).toContain('/v1/cache/shop/entries');
  const env = { ...process.env, TRIVET: cluster.gateway.http, TOKEN: token };
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], {
    env,
    timeout: 60_000,
  });
  expect(stdout).toContain('"state":"done"');
  expect(stdout).toContain('"result":{"sent":true}');
  expect(stdout).toMatch(/"hit":true,"value":12\.5/);
  expect(stdout).toContain('"timeZone":"Europe/Berlin"');
  expect(stdout).toContain('retry: 1000');
  expect(stdout).toMatch(/event: queue\ndata: \{"queue":"mails","state":"pending"/);
  // The key's own session, the browser's, and what the two did.
  expect(stdout).toMatch(/"name":"mailer","id":"k-[0-9a-f]{16}".*"via":"bearer"/);
  expect(stdout.match(/\{"queue":"mails","paused":(true|false)\}/g)).toHaveLength(4);
  expect(stdout.match(/"state":"revoked"/g)?.length).toBeGreaterThanOrEqual(2);
  expect(stdout).toContain('"revokedBefore":');
  expect(stdout).toMatch(/"operation":"token\.create","on":"the cluster"/);
  expect(stdout).toMatch(/"whole": ?true/);
}, 120_000);
