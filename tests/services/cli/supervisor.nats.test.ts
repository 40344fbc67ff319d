import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';

import { processesOf, type StartedCluster, startCluster } from './started-cluster.ts';

// The supervisor with a real nats-server and stand-ins for the services.

const clusters: StartedCluster[] = [];

async function start(options: Parameters<typeof startCluster>[0] = {}): Promise<StartedCluster> {
  const cluster = await startCluster(options);
  clusters.push(cluster);
  return cluster;
}

afterEach(async () => {
  await Promise.all(clusters.splice(0).map((cluster) => cluster.cleanUp()));
});

const nobodyLeft = (cluster: StartedCluster) =>
  expect.poll(() => processesOf(cluster.dir), { timeout: 15_000, interval: 100 }).toEqual([]);

test('a start announces addresses, token, data folder and the pids of all processes', async () => {
  const cluster = await start({ args: ['--brokers', '2', '--gateways', '2'] });
  const ready = await cluster.ready();
  expect(ready.nats).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/);
  expect(ready.data).toBe(cluster.dir);
  expect(ready.pids['queue-broker']).toHaveLength(2);
  expect(ready.pids.gateway).toHaveLength(2);
  const pids = Object.values(ready.pids).flat();
  expect(new Set(pids).size).toBe(7);
  for (const pid of pids) expect(process.kill(pid, 0)).toBe(true);
  expect(await (await fetch(ready.http)).text()).toBe('gateway-1');
});

test('the token is shown on the ready screen and masked everywhere else', async () => {
  const cluster = await start();
  const { token } = await cluster.ready();
  expect((await readFile(join(cluster.dir, 'token'), 'utf8')).trim()).toBe(token);
  const file = await stat(join(cluster.dir, 'token'));
  expect(file.mode & 0o777).toBe(0o600);
  expect(await cluster.line('gateway-1 ')).toContain('token is •••');
  expect(cluster.lines.filter((line) => line.includes('token is'))).toHaveLength(4);
  const logs = cluster.lines.filter((line) => line.includes('│'));
  expect(logs.filter((line) => line.includes(token))).toEqual([]);
});

test('a Ctrl-C drains the gateway first and nats-server last, and leaves no process behind', async () => {
  const cluster = await start();
  await cluster.ready();
  cluster.process.kill('SIGINT');
  expect(await cluster.ended()).toBe(0);
  const order = cluster.lines.flatMap(
    (line) => /drained (\S+)|(Initiating Shutdown)/.exec(line)?.slice(1) ?? [],
  );
  const names = order.filter((name) => name !== undefined);
  expect(names[0]).toBe('gateway-1');
  expect(names.at(-1)).toBe('Initiating Shutdown');
  expect(names).toHaveLength(5);
  await nobodyLeft(cluster);
});

test('a killed service is started again, and the screen says so', async () => {
  const cluster = await start();
  const { pids } = await cluster.ready();
  process.kill(pids['queue-broker'][0] ?? 0, 'SIGKILL');
  expect(await cluster.line('ended by itself (SIGKILL)')).toContain('queue-broker-1');
  expect(await cluster.line('serves again')).toContain('queue-broker-1');
});

test('of a service that the system ends as it does where a file is damaged, the screen says so', async () => {
  const cluster = await start();
  const { pids } = await cluster.ready();
  process.kill(pids['queue-broker'][0] ?? 0, 'SIGBUS');
  expect(await cluster.line('ended by itself (SIGBUS: its file may be damaged')).toContain('queue-broker-1');
});

test('a disk on which nothing can be written down does not end what runs', async () => {
  const cluster = await start();
  const { pids } = await cluster.ready();
  const list = join(cluster.dir, 'processes.json');
  // As on a disk that is full: a folder in its place cannot be replaced by a file. It may be being written just now.
  const takeItsPlace = async () => {
    await rm(list, { force: true });
    await mkdir(list);
  };
  await expect.poll(() => takeItsPlace().catch((error: unknown) => error)).toBeUndefined();
  process.kill(pids['queue-broker'][0] ?? 0, 'SIGKILL');
  expect(await cluster.line('cannot be written')).toContain('WARN');
  expect(await cluster.line('serves again')).toContain('queue-broker-1');
  await rm(list, { recursive: true });
  cluster.process.kill('SIGINT');
  expect(await cluster.ended()).toBe(0);
});

test('a killed gateway comes back on the port that it had', async () => {
  const cluster = await start();
  const { pids, http } = await cluster.ready();
  process.kill(pids.gateway[0] ?? 0, 'SIGKILL');
  await cluster.line('gateway-1 serves again');
  expect(await (await fetch(http)).text()).toBe('gateway-1');
});

test('a killed nats-server comes back on its port with its data', async () => {
  const cluster = await start();
  const { pids, nats } = await cluster.ready();
  const pass = (await readFile(join(cluster.dir, 'nats-password'), 'utf8')).trim();
  const asService = { servers: nats, user: 'trivet-service', pass, reconnect: false };
  const before = await connect(asService);
  await (await jetstreamManager(before)).streams.add({ name: 'LOG', subjects: ['trivet.log.*'] });
  await jetstream(before).publish('trivet.log.0', 'record');
  process.kill(pids['nats-server'] ?? 0, 'SIGKILL');
  await cluster.line('nats-server serves again');
  const after = await connect(asService);
  expect((await (await jetstreamManager(after)).streams.info('LOG')).state.messages).toBe(1);
  await after.close();
});

test('a killed keeper does not leave its nats-server beside the next one', async () => {
  const cluster = await start();
  const { pids } = await cluster.ready();
  const status = await readFile(`/proc/${pids['nats-server']}/status`, 'utf8');
  process.kill(Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1]), 'SIGKILL');
  await cluster.line('nats-server serves again');
  const servers = await Promise.all(
    (await processesOf(cluster.dir)).map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')),
  );
  expect(servers.filter((name) => name.trim() === 'nats-server')).toHaveLength(1);
});

test('when the supervisor is killed, everything that it started ends by itself', async () => {
  const cluster = await start();
  await cluster.ready();
  cluster.process.kill('SIGKILL');
  await cluster.ended();
  await nobodyLeft(cluster);
});

test('a second start finds the data and the token of the first', async () => {
  const first = await start();
  const { token } = await first.ready();
  first.process.kill('SIGTERM');
  expect(await first.ended()).toBe(0);
  const second = await start({ dir: first.dir });
  expect((await second.ready()).token).toBe(token);
});

test('a start right after the supervisor was killed waits for what is left of the last run', async () => {
  const first = await start();
  const { pids } = await first.ready();
  first.process.kill('SIGKILL');
  await first.ended();
  const second = await start({ dir: first.dir });
  await second.ready();
  await second.line('waiting for processes of the last run');
  for (const pid of Object.values(pids).flat()) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('two starts on one data folder: the second is refused and says who has it', async () => {
  const first = await start();
  await first.ready();
  const second = await start({ dir: first.dir });
  expect(await second.ended()).toBe(2);
  expect(second.lines.join('\n')).toContain(`in use by another start (pid ${first.process.pid})`);
  expect(first.process.exitCode).toBeNull();
});

test('a service that refuses its configuration ends the start with its code and its message', async () => {
  const cluster = await start({ env: { STAND_IN: 'cache-node-1:refuse' } });
  expect(await cluster.ended()).toBe(2);
  expect(cluster.lines.join('\n')).toContain('cache-node-1 cannot start: TRIVET_PARTITIONS must be 4');
  await nobodyLeft(cluster);
});

test('a file where the folder of a process belongs ends the start with its name', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'trivet-start-'));
  await writeFile(join(dir, 'queue-broker-1'), '');
  const cluster = await start({ dir });
  expect(await cluster.ended()).toBe(2);
  expect(await cluster.line('ERROR')).toMatch(/TRIVET_DATA: \S+queue-broker-1 cannot be used \(EEXIST/);
});

test('a second signal ends everything at once, also what hangs', async () => {
  const cluster = await start({ env: { STAND_IN: 'gateway-1:hang' } });
  await cluster.ready();
  cluster.process.kill('SIGINT');
  await cluster.line('drained gateway-1');
  // One Ctrl-C can arrive twice (from the terminal and from npm), so only a later one counts as the second.
  await new Promise((resolve) => setTimeout(resolve, 700));
  cluster.process.kill('SIGINT');
  expect(await cluster.ended()).toBe(1);
  await nobodyLeft(cluster);
});

test('the same Ctrl-C from the terminal and from npm drains, it does not cut short', async () => {
  const cluster = await start();
  await cluster.ready();
  cluster.process.kill('SIGINT');
  cluster.process.kill('SIGINT');
  expect(await cluster.ended()).toBe(0);
});

test('another subject prefix reaches the permissions of nats-server', async () => {
  const cluster = await start({ env: { TRIVET_PREFIX: 'acme' } });
  const { nats } = await cluster.ready();
  const anonymous = await connect({ servers: nats, reconnect: false });
  await expect(anonymous.request('acme.queue.mail.get', '{}', { timeout: 500 })).rejects.toThrow(
    'no responders',
  );
  await expect(anonymous.request('trivet.queue.mail.get', '{}', { timeout: 500 })).rejects.toThrow(
    /permissions/i,
  );
  await anonymous.close();
});

test('a NATS that runs already is used as it is', async () => {
  const first = await start({ args: ['--brokers', '0', '--caches', '0', '--collectors', '0'] });
  const { nats } = await first.ready();
  const password = (await readFile(join(first.dir, 'nats-password'), 'utf8')).trim();
  const second = await start({ env: { NATS_URL: nats.replace('//', `//trivet-service:${password}@`) } });
  const ready = await second.ready();
  expect(ready.nats).toBe(nats);
  expect(ready.pids['nats-server']).toBeUndefined();
});

test('a NATS that does not answer is a missing part', async () => {
  const cluster = await start({ env: { NATS_URL: 'nats://127.0.0.1:1' } });
  expect(await cluster.ended()).toBe(3);
  expect(cluster.lines.join('\n')).toContain('No NATS answers');
});

test('with --json-logs every line but the ready line is a JSON object', async () => {
  const cluster = await start({ args: ['--json-logs'] });
  await cluster.ready();
  cluster.process.kill('SIGTERM');
  expect(await cluster.ended()).toBe(0);
  const others = cluster.lines.filter((line) => !line.startsWith('trivet ready '));
  const parsed = others.map((line) => JSON.parse(line) as { name?: string; msg?: string; level?: string });
  for (const { name, msg, level } of parsed) expect([name, msg, level]).not.toContain(undefined);
  expect(new Set(parsed.map(({ name }) => name))).toContain('nats-server');
});

test('every fault of the command line and the environment is named at once', async () => {
  const cluster = await start({ args: ['--brokers', 'many', '--colour'], env: { TRIVET_REPLICAS: '0' } });
  expect(await cluster.ended()).toBe(2);
  const text = cluster.lines.join('\n');
  for (const fault of ['--brokers must be', '--colour is not a known option', 'TRIVET_REPLICAS must be'])
    expect(text).toContain(fault);
});
