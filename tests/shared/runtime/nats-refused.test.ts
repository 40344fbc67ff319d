import { type Server, type Socket, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { connectNats } from '#shared/runtime/nats.ts';

/** As much of a nats-server as a connection needs, which refuses whoever comes while it is told to. */
async function startServer() {
  let refuses = false;
  let refused = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.write(
      `INFO ${JSON.stringify({ server_id: 'S', version: '2.12.10', max_payload: 1_048_576 })}\r\n`,
    );
    socket.on('data', (bytes) => {
      const text = bytes.toString();
      if (refuses && text.includes('CONNECT')) {
        refused += 1;
        socket.end("-ERR 'Authorization Violation'\r\n");
      } else if (text.includes('PING')) socket.write('PONG\r\n');
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    url: `nats://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    refuse: (on: boolean) => {
      refuses = on;
    },
    refused: () => refused,
    drop: () => {
      for (const socket of sockets) socket.destroy();
    },
    stop: () => server.close(),
  };
}

// The auth callout is a service, too: when NATS is started again it is there some moments later, and until then
// everybody is refused.
test('who is refused again and again after a connection was lost is there once it is let in', async () => {
  const server = await startServer();
  const nats = await connectNats({ url: server.url, name: 'refused' });
  server.refuse(true);
  server.drop();
  await expect.poll(server.refused, { timeout: 10_000 }).toBeGreaterThan(3);
  server.refuse(false);
  await expect
    .poll(
      () =>
        nats.connection.flush().then(
          () => 'there',
          () => 'away',
        ),
      { timeout: 5_000 },
    )
    .toBe('there');
  await nats.connection.close();
  server.stop();
});

test('the first connection is refused at once', async () => {
  const server = await startServer();
  server.refuse(true);
  await expect(connectNats({ url: server.url, name: 'refused' })).rejects.toThrow('Authorization');
  expect(server.refused()).toBe(1);
  server.stop();
});
