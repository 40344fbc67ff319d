import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DoNotRetry, type Trivet, connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

// Commands for more items than one request takes, and for who works by hand.

const run = promisify(execFile);

let server: RunningNatsServer;
let broker: ServiceProcess;
let client: Trivet;

beforeAll(async () => {
  server = await startNatsServer();
  broker = await startService('queue-broker', { ...natsEnvironment(server), TRIVET_PARTITIONS: '1' });
  client = await connect({ url: server.url });
});

afterAll(async () => {
  await client.close();
  await broker.stop();
  await server.stop();
});

const trivet = async (...args: string[]): Promise<{ readonly [field: string]: unknown }> => {
  const { stdout } = await run(process.execPath, ['services/cli/main.ts', '--nats', server.url, ...args]);
  return JSON.parse(stdout) as { [field: string]: unknown };
};

const refused = (...args: string[]) =>
  run(process.execPath, ['services/cli/main.ts', '--nats', server.url, ...args]).then(
    () => ({ code: 0, stderr: '' }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
  );

const addMany = (queue: string, count: number) =>
  client.queue(queue).addMany(Array.from({ length: count }, (_, payload) => ({ payload })));

test('all that has failed is replayed, in as many requests as that takes', async () => {
  const queue = client.queue('broken');
  await addMany('broken', 730);
  const worker = client.worker(
    'broken',
    () => {
      throw new DoNotRetry('the other side is down');
    },
    { concurrency: 100 },
  );
  await expect.poll(async () => (await queue.stats()).counts.failed, { timeout: 20_000 }).toBe(730);
  await worker.stop();
  expect(await trivet('replay', 'broken', '--failed')).toEqual({ count: 730 });
  expect((await queue.stats()).counts).toMatchObject({ failed: 0, pending: 730 });
  expect(await trivet('replay', 'broken', '--failed')).toEqual({ count: 0 });
});

test('all that waits is cancelled, and what is purged is gone, however many that are', async () => {
  const queue = client.queue('unwanted');
  await addMany('unwanted', 1_200);
  expect(await trivet('cancel', 'unwanted', '--state', 'pending')).toEqual({ count: 1_200 });
  expect((await queue.stats()).counts).toMatchObject({ pending: 0, cancelled: 1_200 });
  expect(await trivet('purge', 'unwanted', '--state', 'cancelled', '--limit', '100')).toEqual({
    count: 100,
    more: true,
  });
  await addMany('unwanted', 10_000);
  expect(await trivet('purge', 'unwanted', '--all')).toEqual({ count: 11_100, more: false });
}, 60_000);

test('either an item or all of them: anything else is refused before it is asked', async () => {
  for (const [args, said] of [
    [['replay', 'broken'], 'id or --failed must be given'],
    [['replay', 'broken', '0-1', '--failed'], 'id must not be given beside --failed'],
    [['cancel', 'broken'], 'id or --state <word> must be given'],
    [['cancel', 'broken', '--state', 'done'], 'state must be one of'],
    [['release', 'broken', '0-1', 'first'], 'token must be'],
    [['extend', 'broken', '0-1', '1', 'long'], 'lease '],
  ] as const)
    expect(await refused(...args)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(said) as string,
    });
});

test('a lease is kept for longer, and given back for a while', async () => {
  await addMany('by-hand', 1);
  const taken = await trivet('dequeue', 'by-hand', '--lease', '5s');
  const [item] = taken['items'] as { id: string; token: number }[];
  const lease = ['by-hand', item?.id ?? '', String(item?.token)];
  const extended = await trivet('extend', ...lease, '10m', '--progress', '{"done":3}');
  expect(Date.parse(extended['leaseExpiresAt'] as string)).toBeGreaterThan(Date.now() + 500_000);
  expect(await trivet('get', 'by-hand', item?.id ?? '')).toMatchObject({ progress: { done: 3 } });
  expect(await trivet('release', ...lease, '--delay', '1h')).toMatchObject({ state: 'scheduled' });
  expect(await trivet('get', 'by-hand', item?.id ?? '')).toMatchObject({ state: 'scheduled', attempt: 0 });
  expect(await refused('complete', ...lease)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('lease_lost') as string,
  });
}, 30_000);
