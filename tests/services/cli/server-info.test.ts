import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';

import { checkServer } from '#services/cli/nats-server/server-info.ts';
import { withoutCredentials } from '#shared/runtime/nats-address.ts';

const servers: Server[] = [];
afterEach(() => void servers.splice(0).map((server) => server.close()));

/** Something that greets as it is told; returns its address. */
async function greeting(text: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(text);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const info = (fields: object) => `INFO ${JSON.stringify(fields)} \r\n`;
const good = { version: '2.15.2', jetstream: true, max_payload: 8_388_608 };

test('a current server with JetStream and room for large messages is taken without a word', async () => {
  expect(await checkServer(`nats://user:secret@${await greeting(info(good))}`)).toEqual([]);
});

test.each([
  [{ ...good, version: '2.12.9' }, 'is 2.12.9; it takes 2.12.10'],
  [{ ...good, version: '2.14.1' }, 'is 2.14.1; it takes'],
  [{ ...good, jetstream: undefined }, 'without JetStream'],
])('%j is refused: %s', async (fields, reason) => {
  const refusal = checkServer(`nats://${await greeting(info(fields))}`);
  await expect(refusal).rejects.toMatchObject({ exitCode: 3 });
  await expect(refusal).rejects.toThrow(reason);
});

test('a server with small messages is taken with a warning', async () => {
  const [warning] = await checkServer(`nats://${await greeting(info({ ...good, max_payload: 1_048_576 }))}`);
  expect(warning).toContain('max_payload');
});

test('of several servers the first that answers is asked', async () => {
  expect(await checkServer(`nats://127.0.0.1:1,nats://${await greeting(info(good))}`)).toEqual([]);
});

test('what answers but is not a nats-server is refused by what it is, without its password', async () => {
  const address = await greeting('HTTP/1.1 400 Bad Request\r\n\r\n');
  const refusal = await checkServer(`nats://user:secret@${address}`).catch((error: Error) => error.message);
  expect(refusal).toContain('not a nats-server');
  expect(refusal).not.toContain('secret');
});

test('credentials are taken out of an address before it is shown', () => {
  expect(withoutCredentials('nats://user:secret@host:4222')).toBe('nats://host:4222');
  expect(withoutCredentials('nats://host:4222')).toBe('nats://host:4222');
});
