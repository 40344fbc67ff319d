import { execFile } from 'node:child_process';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningGateway, startGateway, token } from './running-gateway.ts';

// The page of the document in Chromium: that its own policy lets it work.

let gateway: RunningGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

test('the page shows the operations, and the policy that it is served with refuses nothing of it', async () => {
  // Chromium's command line has no way to send a token: this stands between and adds it.
  const proxy = createServer((incoming, outgoing) => {
    const headers = { ...incoming.headers, authorization: `Bearer ${token}` };
    incoming.pipe(
      request(`${gateway.http}${incoming.url}`, { method: incoming.method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
      }),
    );
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, '127.0.0.1', resolve);
  });
  const { port } = proxy.address() as AddressInfo;
  try {
    const { stdout, stderr } = await promisify(execFile)(
      'chromium',
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--enable-logging=stderr',
        '--virtual-time-budget=15000',
        '--dump-dom',
        `http://127.0.0.1:${port}/docs`,
      ],
      { timeout: 60_000, maxBuffer: 64 * 1_048_576 },
    );
    expect(stdout).toContain('/queue/enqueue');
    expect(stdout).toContain('Cache, job queue and telemetry collector');
    expect(stderr).not.toMatch(/Content Security Policy|Refused to/);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
}, 120_000);
