import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import { newCalloutKeys, publicCalloutKeys } from '#shared/runtime/auth-callout.ts';
import { freePort } from '#tests/support/free-port.ts';
import { type ServiceProcess, startService } from '#tests/support/service-process.ts';

// deploy/nats/nats-server.conf, started for real: three servers with TLS, the auth callout, a broker.

const password = 'password-of-the-services';
const adminToken = 'the-local-admins-token';
const keys = newCalloutKeys();
let folder: string;
let ca: string;
const ports: number[] = [];
const servers: ReturnType<typeof spawn>[] = [];
const services: ServiceProcess[] = [];
const clients: NatsConnection[] = [];

const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
const quoted = (text: string) => JSON.stringify(text);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-production-'));
  const { path: binary } = await resolveNatsServer();
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-subj',
    '/CN=test',
    '-days',
    '2',
  );
  openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    'nats.key',
    '-out',
    'nats.csr',
    '-subj',
    '/CN=nats',
    '-addext',
    'subjectAltName=DNS:localhost,IP:127.0.0.1',
  );
  openssl(
    'x509',
    '-req',
    '-in',
    'nats.csr',
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-out',
    'nats.crt',
    '-days',
    '2',
    '-copy_extensions',
    'copy',
  );
  ca = await readFile(join(folder, 'ca.crt'), 'utf8');
  const routes = await Promise.all([freePort(), freePort(), freePort()]);
  const { issuer, xkey } = publicCalloutKeys(keys);
  for (const [index, route] of routes.entries()) {
    const port = await freePort();
    ports.push(port);
    const env = {
      ...process.env,
      TRIVET_NATS_NAME: quoted(`nats-${index + 1}`),
      TRIVET_NATS_HOST: quoted('127.0.0.1'),
      TRIVET_NATS_PORT: String(port),
      TRIVET_NATS_MONITOR: quoted('127.0.0.1:-1'),
      TRIVET_NATS_STORE: quoted(join(folder, `store-${index + 1}`)),
      TRIVET_NATS_TLS_CERT: quoted(join(folder, 'nats.crt')),
      TRIVET_NATS_TLS_KEY: quoted(join(folder, 'nats.key')),
      TRIVET_NATS_TLS_CA: quoted(join(folder, 'ca.crt')),
      TRIVET_CLUSTER_LISTEN: quoted(`127.0.0.1:${route}`),
      TRIVET_ROUTE_1: quoted(`nats-route://127.0.0.1:${routes[0]}`),
      TRIVET_ROUTE_2: quoted(`nats-route://127.0.0.1:${routes[1]}`),
      TRIVET_ROUTE_3: quoted(`nats-route://127.0.0.1:${routes[2]}`),
      TRIVET_NATS_PASSWORD: quoted(password),
      TRIVET_CALLOUT_PASSWORD: quoted(password),
      TRIVET_SYSTEM_PASSWORD: quoted(password),
      TRIVET_NATS_ISSUER: quoted(issuer),
      TRIVET_NATS_XKEY: quoted(xkey),
      TRIVET_NATS_LOG: quoted(join(folder, `nats-${index + 1}.log`)),
    };
    servers.push(spawn(binary, ['-c', 'deploy/nats/nats-server.conf'], { env, stdio: 'ignore' }));
  }
  const env = {
    NATS_URL: ports.map((port) => `tls://127.0.0.1:${port}`).join(','),
    NODE_EXTRA_CA_CERTS: join(folder, 'ca.crt'),
    TRIVET_NATS_USER: 'trivet-service',
    TRIVET_NATS_PASSWORD: password,
    TRIVET_REPLICAS: '3',
    TRIVET_PARTITIONS: '2',
    TRIVET_TOKEN: adminToken,
    TRIVET_CALLOUT_ISSUER: keys.issuerSeed,
    TRIVET_CALLOUT_XKEY: keys.xkeySeed,
  };
  const start = async (name: 'auth-callout' | 'queue-broker', count: number): Promise<ServiceProcess> => {
    const own = { TRIVET_NAME: `${name}-${count}`, TRIVET_DATA: join(folder, `${name}-${count}`) };
    // The three need a moment to find each other and to agree on a leader; until then JetStream refuses streams.
    const deadline = Date.now() + 60_000;
    for (;;) {
      try {
        return await startService(name, { ...env, ...own });
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  };
  services.push(await start('auth-callout', 1));
  services.push(await start('auth-callout', 2), await start('queue-broker', 1));
}, 120_000);

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(services.map((service) => service.stop()));
  await Promise.all(
    servers.map(async (server) => {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    }),
  );
  await rm(folder, { recursive: true, force: true });
});

async function client(server: number, options: object): Promise<NatsConnection> {
  const made = await connect({
    servers: `tls://127.0.0.1:${ports[server]}`,
    reconnect: false,
    tls: { ca },
    timeout: 10_000,
    ...options,
  });
  clients.push(made);
  return made;
}

test('who has a token works with the queue from any of the servers', async () => {
  for (const server of [0, 1, 2]) {
    const made = await client(server, { token: adminToken, inboxPrefix: '_INBOX.a-local' });
    const reply = await made.request('trivet.queue.mails.enqueue', `{"server":${server}}`, {
      timeout: 10_000,
    });
    expect(reply.json()).toMatchObject({ queue: 'mails', state: 'pending' });
    expect(await jetstream(made).publish('trivet.jobs.mails', '{}')).toMatchObject({
      stream: 'TRIVET_INGEST',
    });
  }
});

test.each([
  ['no token', {}],
  ['a made-up token', { token: 'made-up-token-of-a-stranger' }],
  ['the user of the services and a guessed password', { user: 'trivet-service', pass: 'guessed' }],
])('with %s nobody is let in', async (_, options) => {
  await expect(client(0, options)).rejects.toThrow(/authorization/i);
});

test('nobody talks to it without TLS, nor to a server whose certificate is another authority’s', async () => {
  const plain = connect({ servers: `nats://127.0.0.1:${ports[0]}`, reconnect: false, token: adminToken });
  await expect(plain).rejects.toThrow();
  await expect(client(0, { token: adminToken, tls: {} })).rejects.toThrow(/certificate/i);
});

test('one auth callout is enough, whichever it is', async () => {
  await services[0]?.kill();
  for (let attempt = 0; attempt < 4; attempt += 1)
    await (await client(attempt % 3, { token: adminToken })).close();
});

test('its accounts import and export what those of nats.conf do', async () => {
  const crossings = (text: string) =>
    [...text.replaceAll(/#.*$/gm, '').matchAll(/\{ (?:stream|service): [^\n]*\}/g)].map(([line]) => line);
  const own = await readFile('nats.conf', 'utf8');
  const production = await readFile('deploy/nats/nats-server.conf', 'utf8');
  expect(crossings(production)).toEqual(crossings(own));
  expect(crossings(own).length).toBeGreaterThan(15);
});
