import { afterAll, beforeAll, test } from 'vitest';
import { expectPageToRun } from '#tests/support/page-program.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
beforeAll(async () => {
  client = await startClient();
});
afterAll(() => client.stop());

test('the program on docs/client.md runs and prints what it says', { timeout: 60_000 }, () =>
  expectPageToRun('docs/client.md', client.server.url),
);
