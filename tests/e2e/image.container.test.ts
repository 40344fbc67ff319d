import { connect } from '@nats-io/transport-node';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
  DockerComposeEnvironment,
  GenericContainer,
  type StartedDockerComposeEnvironment,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { runCommand } from '#services/cli/nats-server/run-command.ts';
import { provideBaseImages } from '#tests/support/base-images.ts';

import { call, itemsOf } from './http-call.ts';

// deploy/Dockerfile and deploy/docker-compose.yml as they are: the image is built, the cluster is brought up.

const image = 'trivet-under-test';
const project = `trivet-test-${process.pid}`;
const token = randomBytes(24).toString('hex');
const services = ['queue-broker', 'cache-node', 'telemetry-collector', 'gateway'];

let environment: StartedDockerComposeEnvironment;
let address: { http: string; token: string };
beforeAll(async () => {
  await provideBaseImages();
  await GenericContainer.fromDockerfile(process.cwd(), 'deploy/Dockerfile').build(image, {
    deleteOnExit: false,
  });
  const compose = new DockerComposeEnvironment(join(process.cwd(), 'deploy'), 'docker-compose.yml')
    .withProjectName(project)
    .withEnvironment({
      TRIVET_IMAGE: image,
      TRIVET_TOKEN: token,
      TRIVET_NATS_PASSWORD: randomBytes(24).toString('hex'),
      // Any free port of the host.
      TRIVET_HTTP_PORT: '0',
      TRIVET_NATS_PORT: '0',
      TRIVET_OTLP_GRPC_PORT: '0',
      TRIVET_OTLP_HTTP_PORT: '0',
    })
    .withDefaultWaitStrategy(Wait.forLogMessage(/process serving|Server is ready/))
    .withStartupTimeout(120_000);
  environment = await (await withCompose(compose)).up();
  address = { http: `http://127.0.0.1:${container('gateway').getMappedPort(8420)}`, token };
}, 900_000);
afterAll(async () => {
  await environment?.down({ removeVolumes: true });
}, 120_000);

// Debian's package is the stand-alone command of old.
async function withCompose(compose: DockerComposeEnvironment): Promise<DockerComposeEnvironment> {
  const plugin = await runCommand('docker', ['compose', 'version'], { timeoutMs: 20_000 });
  if (plugin.exitCode === 0) return compose;
  return compose.withClientOptions({
    executable: { executablePath: 'docker-compose', standalone: true },
  });
}

/** By the name of its service; the old command joins names with other characters than the plugin. */
function container(service: string): StartedTestContainer {
  const names = [`${service}-1`, `${project}_${service}_1`];
  for (const name of names) {
    try {
      return environment.getContainer(name);
    } catch {
      continue;
    }
  }
  throw new Error(`no container of ${service}`);
}

test('all four services become ready', async () => {
  const ready = async () => (await call(address, '/health/ready')).status;
  await expect.poll(ready, { timeout: 30_000 }).toBe(200);
});

test('a job goes from enqueue to its result over HTTP', async () => {
  const enqueued = await call(address, '/queue/enqueue', { queue_name: 'boxed', payload: { n: 1 } });
  expect(enqueued).toMatchObject({ status: 201 });
  const [item] = itemsOf(await call(address, '/queue/boxed/dequeue?wait=10s'));
  expect(item).toMatchObject({ id: enqueued.body?.['id'], payload: { n: 1 } });
  const done = await call(address, `/queue/boxed/${item?.id}/complete`, { token: item?.token });
  expect(done).toMatchObject({ status: 200, body: { state: 'done' } });
});

test('a plain NATS publish from the host becomes a job', async () => {
  const nats = await connect({ servers: `127.0.0.1:${container('nats').getMappedPort(4222)}` });
  nats.publish('trivet.jobs.from-outside', '"hello"');
  // Not `close`, which lets go of what was not sent yet.
  await nats.drain();
  const [item] = itemsOf(await call(address, '/queue/from-outside/dequeue?wait=10s'));
  expect(item).toMatchObject({ payload: 'hello' });
});

test.each(services)('%s runs as an ordinary user and can write to its volume alone', async (service) => {
  const run = (script: string) => container(service).exec(['sh', '-c', script]);
  expect((await run('id -u')).output.trim()).toBe('1000');
  expect((await run('touch /var/lib/trivet/own')).exitCode).toBe(0);
  expect((await run('touch /trivet/own')).exitCode).not.toBe(0);
});

test('the image holds nothing that was not meant for it', async () => {
  const { output } = await container('gateway').exec(['ls', '/trivet']);
  expect(output.trim().split(/\s+/)).toEqual([
    'LICENSE',
    'nats.conf',
    'node_modules',
    'package.json',
    'services',
    'shared',
  ]);
});

test('the gateway is healthy for Docker, too', async () => {
  const health = async () => {
    const id = container('gateway').getId();
    const format = '{{.State.Health.Status}}';
    const inspected = await runCommand('docker', ['inspect', '--format', format, id], { timeoutMs: 20_000 });
    return inspected.stdout.trim();
  };
  await expect.poll(health, { timeout: 40_000, interval: 500 }).toBe('healthy');
});

test('a job waits in its volume while the broker is started again', async () => {
  await call(address, '/queue/enqueue', { queue_name: 'patient', payload: 'kept' });
  await container('queue-broker').restart({ timeout: 20_000 });
  const dequeue = () => call(address, '/queue/patient/dequeue?wait=5s');
  const payloads = async () => itemsOf(await dequeue()).map(({ payload }) => payload);
  await expect.poll(payloads, { timeout: 60_000 }).toEqual(['kept']);
});

test('a service that is told to stop drains and ends with 0', async () => {
  const id = container('cache-node').getId();
  await runCommand('docker', ['stop', '--time', '20', id], { timeoutMs: 40_000 });
  const format = '{{.State.ExitCode}}';
  const inspected = await runCommand('docker', ['inspect', '--format', format, id], { timeoutMs: 20_000 });
  expect(inspected.stdout.trim()).toBe('0');
});
