import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';

import { refuseTakenPorts } from '#services/cli/embedded-nats.ts';

async function takenPort() {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, free: () => void server.close() };
}

test('of several taken ports each is named, with its option', async () => {
  const [nats, http] = await Promise.all([takenPort(), takenPort()]);
  const refusal = refuseTakenPorts({ '--nats-port': nats.port, '--http-port': http.port });
  await expect(refusal).rejects.toMatchObject({ exitCode: 2 });
  await expect(refusal).rejects.toThrow(
    new RegExp(`${nats.port} is taken.*--nats-port.*${http.port} is taken.*--http-port`),
  );
  await expect(refuseTakenPorts({ '--nats-port': 0, '--http-port': http.port })).rejects.toThrow(
    /^Port \d+ is taken by another program\. Choose another one with --http-port \(0: any\)\.$/,
  );
  nats.free();
  http.free();
});

test('who asks for any free port is not refused', async () => {
  await expect(refuseTakenPorts({ '--nats-port': 0, '--http-port': 0 })).resolves.toBeUndefined();
});
