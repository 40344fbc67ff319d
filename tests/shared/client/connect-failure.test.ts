import { type AddressInfo, createServer } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';

import { connect } from '#shared/client/client.ts';

afterEach(() => void vi.unstubAllEnvs());

/** What comes of connecting to something that greets with `text` and hangs up. */
async function connectTo(text: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const outcome = await outcomeOf(`nats://127.0.0.1:${(server.address() as AddressInfo).port}`);
  server.close();
  return outcome;
}

const outcomeOf = (url?: string): Promise<string> =>
  connect(url === undefined ? {} : { url }).then(
    async (trivet) => {
      await trivet.close();
      return 'connected';
    },
    (error: unknown) => String(error),
  );

test.each(['', 'HTTP/1.1 400 Bad Request\r\n\r\n'])(
  'what greets with %j is said to be no NATS',
  async (greeting) => {
    expect(await connectTo(greeting)).toMatch(
      /no NATS at nats:\/\/127\.0\.0\.1:\d+ \(what answers there is no NATS\)/,
    );
  },
);

test('an empty NATS_URL is none', async () => {
  vi.stubEnv('NATS_URL', '');
  // There may be a NATS on this machine.
  expect(await outcomeOf()).toMatch(/^connected$|nats:\/\/127\.0\.0\.1:4222 /);
});
