import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type StartedCluster, startCluster } from './started-cluster.ts';

// `npm start` and a service by hand on a NATS that somebody else runs: whom it lets in, and what is said of it.

let closed: RunningNatsServer;
let plain: RunningNatsServer;
beforeAll(async () => {
  [closed, plain] = await Promise.all([startNatsServer(), startNatsServer({ config: 'plain' })]);
});
afterAll(() => Promise.all([closed, plain].map((server) => server.stop())));

const clusters: StartedCluster[] = [];
afterEach(() => Promise.all(clusters.splice(0).map((cluster) => cluster.cleanUp())));

async function start(env: Readonly<Record<string, string>>): Promise<StartedCluster> {
  const cluster = await startCluster({ env });
  clusters.push(cluster);
  return cluster;
}

const variables = 'set TRIVET_NATS_USER and TRIVET_NATS_PASSWORD';
const withoutUser =
  /lets this in as a user that may not run services \(.*\): set TRIVET_NATS_USER and TRIVET_/;
const errors = ({ lines }: StartedCluster) => lines.filter((line) => line.includes('ERROR'));

test('a start with a wrong password ends before any service, and names what to set', async () => {
  const cluster = await start({ ...natsEnvironment(closed), TRIVET_NATS_PASSWORD: 'guessed' });
  expect(await cluster.ended()).toBe(2);
  const refusal = `the NATS at ${closed.url} refuses the user trivet-service (Authorization Violation): ${variables}`;
  expect(errors(cluster)).toEqual([expect.stringContaining(refusal)]);
  expect(cluster.lines.join('\n')).not.toMatch(/queue-broker|guessed|\n\s+at /);
});

test('a start without credentials is not taken for a service by a NATS that lets everybody in', async () => {
  const cluster = await start({ NATS_URL: closed.url });
  expect(await cluster.ended()).toBe(2);
  expect(errors(cluster)).toEqual([expect.stringMatching(withoutUser)]);
  expect(cluster.lines.join('\n')).not.toContain('queue-broker');
});

test('a start with the credentials of the services goes on', async () => {
  expect((await (await start(natsEnvironment(closed))).ready()).nats).toBe(closed.url);
});

test('a NATS without any users needs no credentials', async () => {
  expect((await (await start({ NATS_URL: plain.url })).ready()).nats).toBe(plain.url);
});

test('an address that no service can connect to is refused, not tried again and again', async () => {
  const cluster = await start({ NATS_URL: closed.url.replace('nats:', 'ws:') });
  expect(await cluster.ended()).toBe(3);
  expect(errors(cluster)).toEqual([expect.stringContaining("doesn't support websockets")]);
});

test('a service by hand with a wrong password ends with one line that names what to set', async () => {
  const env = { ...natsEnvironment(closed), TRIVET_NATS_PASSWORD: 'guessed' };
  const output = await endOf(startService('queue-broker', env));
  expect(output).toContain('queue-broker ended with 2');
  expect(output).toContain(`refuses the user trivet-service (Authorization Violation): ${variables}`);
  expect(output).not.toContain('stack');
});

test('a service by hand without credentials ends with one line that names what to set', async () => {
  const output = await endOf(startService('cache-node', { NATS_URL: closed.url }));
  expect(output).toContain('cache-node ended with 2');
  expect(output).toMatch(withoutUser);
  expect(output.match(/Permissions Violation/g)).toHaveLength(1);
  expect(output).not.toContain('stack');
});

const endOf = (service: Promise<unknown>): Promise<string> =>
  service.then(
    () => 'it serves',
    (error: unknown) => String(error),
  );

test('a service by hand, and a client, may be told who they are by the address', async () => {
  const { TRIVET_NATS_USER: user, TRIVET_NATS_PASSWORD: password, ...rest } = natsEnvironment(closed);
  const as = (word: string | undefined) => closed.url.replace('//', `//${user}:${word}@`);
  const node = await startService('cache-node', { ...rest, NATS_URL: as(password) });
  const trivet = await connect({ url: as(password) });
  expect(await trivet.cache('seen').set('key', 1)).toBeDefined();
  await trivet.close();
  expect(await node.stop()).toBe(0);
  await expect(connect({ url: as('guessed') })).rejects.toThrow(
    `the NATS at ${closed.url} refuses this client`,
  );
});
