import { execFile } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newCalloutKeys } from '#shared/runtime/auth-callout.ts';
import { version } from '#shared/runtime/version.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

const run = promisify(execFile);
let server: RunningNatsServer;
const services: ServiceProcess[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  for (const name of ['queue-broker', 'cache-node', 'telemetry-collector'] as const) {
    services.push(
      await startService(name, {
        ...natsEnvironment(server),
        TRIVET_NAME: `${name}-1`,
        TRIVET_DATA: `${server.dir}/${name}-1`,
        TRIVET_PARTITIONS: '2',
      }),
    );
  }
});
afterAll(async () => {
  await Promise.all(services.map((service) => service.stop()));
  await server.stop();
});

const trivet = async (...args: string[]): Promise<{ readonly [field: string]: unknown }> => {
  const { stdout } = await run(process.execPath, ['services/cli/main.ts', '--nats', server.url, ...args]);
  return JSON.parse(stdout) as { [field: string]: unknown };
};
const fails = async (...args: string[]): Promise<{ code: number; stderr: string }> =>
  run(process.execPath, ['services/cli/main.ts', ...args]).then(
    () => ({ code: 0, stderr: '' }),
    (error: unknown) => error as { code: number; stderr: string },
  );

test('every digit of a payload and of a result stays', { timeout: 60_000 }, async () => {
  const digits = '{"id":12345678901234567890,"price":1.10}';
  const said = async (...args: string[]) =>
    (await run(process.execPath, ['services/cli/main.ts', '--nats', server.url, ...args])).stdout;
  await said('enqueue', 'digits', digits);
  const leased = await said('dequeue', 'digits');
  expect(leased).toContain(digits);
  const { items } = JSON.parse(leased) as { items: { id: string; token: number }[] };
  const [{ id, token } = { id: '', token: 0 }] = items;
  await said('complete', 'digits', id, String(token), digits);
  expect(await said('get', 'digits', id)).toContain(`"result":${digits}`);
});

test('the version is that of the package', async () => {
  const { stdout } = await run(process.execPath, ['services/cli/main.ts', '--version']);
  expect(stdout).toBe(`${version}\n`);
});

test('an item is enqueued, leased, completed and shown', async () => {
  const added = await trivet(
    'enqueue',
    'mail',
    '{"to":"ada"}',
    '--priority',
    'high',
    '--max-attempts',
    '2',
    '--key',
    'k',
  );
  expect(await trivet('enqueue', 'mail', '{"to":"ada"}', '--key', 'k')).toMatchObject({
    id: added['id'],
    duplicate: true,
  });
  const leased = await trivet('dequeue', 'mail', '--max', '5');
  const [item] = leased['items'] as { id: string; token: number; payload: unknown; priority: string }[];
  expect(item).toMatchObject({ id: added['id'], payload: { to: 'ada' }, priority: 'high', maxAttempts: 2 });
  expect(
    await trivet('complete', 'mail', item?.id ?? '', String(item?.token), '{"sent":true}'),
  ).toMatchObject({ state: 'done' });
  expect(await trivet('get', 'mail', item?.id ?? '')).toMatchObject({
    state: 'done',
    result: { sent: true },
  });
  expect(await trivet('stats', 'mail')).toMatchObject({ counts: { done: 1 } });
});

test('a queue is configured and described', async () => {
  const settings = { maxAttempts: 2, concurrency: { total: 3 } };
  expect(await trivet('configure', 'set', JSON.stringify(settings))).toMatchObject({
    queue: 'set',
    settings,
  });
  expect(await trivet('describe', 'set')).toMatchObject({ queue: 'set', paused: false, settings });
});

test('a schedule is set and removed, and a waiting item is changed', async () => {
  const cron = [
    'schedule',
    'reports',
    'daily',
    '30 9 * * *',
    '{"for":"all"}',
    '--time-zone',
    'Europe/Berlin',
  ];
  expect(await trivet(...cron, '--missed', 'skip')).toMatchObject({
    schedules: {
      daily: { cron: '30 9 * * *', timeZone: 'Europe/Berlin', missed: 'skip', payload: { for: 'all' } },
    },
  });
  expect(await trivet('unschedule', 'reports', 'daily')).toMatchObject({ schedules: {} });
  const keyed = ['enqueue', 'reports', '1', '--key', 'k', '--delay', '1h'];
  const { id } = (await trivet(...keyed)) as { id: string };
  expect(await trivet(...keyed, '--on-duplicate', 'debounce')).toMatchObject({ id, replaced: true });
  expect(await trivet('update', 'reports', id, '--payload', '2', '--delay', '0s')).toEqual({
    id,
    state: 'pending',
  });
  expect(await trivet('get', 'reports', id)).toMatchObject({ payload: 2 });
});

test('a failed item is listed and replayed; a paused queue hands out nothing', async () => {
  await trivet('enqueue', 'flaky', '1');
  const leased = await trivet('dequeue', 'flaky');
  const [item] = leased['items'] as { id: string; token: number }[];
  expect(
    await trivet('fail', 'flaky', item?.id ?? '', String(item?.token), 'broken', '--no-retry'),
  ).toMatchObject({ state: 'failed' });
  expect(await trivet('list', 'flaky', '--state', 'failed')).toMatchObject({ items: [{ id: item?.id }] });
  expect(await trivet('pause', 'flaky')).toMatchObject({ paused: true });
  expect(await trivet('replay', 'flaky', item?.id ?? '')).toMatchObject({ state: 'pending' });
  expect(await trivet('dequeue', 'flaky')).toEqual({ items: [] });
  await trivet('resume', 'flaky');
  expect(await trivet('cancel', 'flaky', item?.id ?? '')).toMatchObject({ state: 'cancelled' });
});

test('items are leased for as long as their queue says, under the name that is given', async () => {
  await trivet('enqueue', 'leased', '1');
  await trivet('configure', 'leased', '{"lease":"1d"}');
  const { items } = (await trivet('dequeue', 'leased', '--worker', 'by hand')) as {
    items: { id: string; leaseExpiresAt: string }[];
  };
  expect(Date.parse(items[0]?.leaseExpiresAt ?? '') - Date.now()).toBeGreaterThan(3_600_000);
  expect(await trivet('workers', 'leased')).toMatchObject({
    workers: [{ worker: 'by hand', items: [{ id: items[0]?.id }] }],
  });
});

test('a result is waited for, logs and workers are shown, and what is not needed is purged', async () => {
  const { id } = (await trivet('enqueue', 'shown', '{"to":"ada"}', '--key', 'k')) as { id: string };
  await trivet('enqueue', 'shown', '2');
  const leased = await trivet('dequeue', 'shown');
  const [item] = leased['items'] as { id: string; token: number }[];
  expect(await trivet('workers', 'shown')).toMatchObject({ workers: [{ worker: '', items: [{ id }] }] });
  expect(await trivet('logs', 'shown', id, '--limit', '5')).toEqual({ lines: [], count: 0 });
  await trivet('complete', 'shown', id, String(item?.token), '5');
  expect(await trivet('result', 'shown', id, '--wait', '5s')).toMatchObject({ state: 'done', result: 5 });
  expect(await trivet('list', 'shown', '--key', 'k')).toMatchObject({ items: [{ id }] });
  expect(await trivet('list', 'shown', '--q', 'ADA')).toMatchObject({ items: [{ id }] });
  expect((await trivet('stats'))['queues']).toContainEqual(expect.objectContaining({ queue: 'shown' }));
  expect(await trivet('purge', 'shown', id)).toEqual({ count: 1, more: false });
  expect(await trivet('purge', 'shown', '--state', 'pending')).toEqual({ count: 1, more: false });
  expect(await trivet('purge', 'shown', '--all')).toEqual({ count: 0, more: false });
});

test('a flow is made, shown with its children, and cancelled with them', async () => {
  const flow = { payload: 1, children: [{ queue: 'parts', payload: 2 }] };
  const { id } = (await trivet('enqueue-flow', 'sums', JSON.stringify(flow))) as { id: string };
  expect(await trivet('children', 'sums', id)).toMatchObject({ items: [{ queue: 'parts' }] });
  expect(await trivet('cancel', 'sums', id, '--children')).toEqual({ id, state: 'cancelled' });
  await expect
    .poll(async () => (await trivet('children', 'sums', id))['items'], { timeout: 20_000 })
    .toMatchObject([{ state: 'cancelled' }]);
});

test('the cache and the collector answer', async () => {
  await trivet('cache', 'set', 'sessions', 'ada', '{"visits":1}', '--ttl', '1h');
  expect(await trivet('cache', 'get', 'sessions', 'ada')).toMatchObject({ hit: true, value: { visits: 1 } });
  expect(await trivet('cache', 'keys', 'sessions', '--prefix', 'a')).toMatchObject({ keys: ['ada'] });
  expect(await trivet('cache', 'delete', 'sessions', 'ada')).toEqual({ deleted: true });
  expect(await trivet('telemetry', 'stats')).toHaveProperty('kinds');
});

test('the collector is asked about errors, history and alerts', { timeout: 60_000 }, async () => {
  const [errors, history, alerts, bad] = await Promise.all([
    trivet('telemetry', 'errors', '--limit', '5', '--level', 'error'),
    trivet('telemetry', 'history', '--name', 'trivet.operation.count'),
    trivet('telemetry', 'alerts'),
    fails('--nats', server.url, 'telemetry', 'series', '--limit', 'many'),
  ]);
  expect(errors).toHaveProperty('groups');
  expect(history).toHaveProperty('stepMs');
  expect(alerts).toEqual({ alerts: [] });
  expect(bad.stderr).toContain('--limit');
});

test('bad usage ends with 2 and names the argument', { timeout: 90_000 }, async () => {
  expect(await fails('enqueue', 'mail')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("'payload'") as string,
  });
  expect(await fails('--nats', server.url, 'enqueue', 'mail', '{')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('payload is not JSON') as string,
  });
  expect(await fails('--nats', server.url, 'dequeue', 'mail', '--max', 'many')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--max') as string,
  });
  expect(await fails('--nats', server.url, 'enqueue', 'mail', '1', '--priority', 'urgent')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(' priority must be one of') as string,
  });
  expect(await fails('--nats', server.url, 'enqueue', 'my queue', '1')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('queue must be 1 to 64 characters of A-Z') as string,
  });
  expect(await fails('--nats', server.url, 'enqueue', '', '1')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('queue must be 1 to 64 characters of A-Z') as string,
  });
  expect(await fails('--nats', server.url, 'purge', 'mail')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('id or --state <word> or --all must be given') as string,
  });
});

test('without a NATS it says where it looked and how to get one', async () => {
  const failed = await fails('--nats', 'nats://127.0.0.1:1', 'stats');
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain('no NATS at nats://127.0.0.1:1');
});

test('what takes a connection and does not greet is given up soon, and the command ends', async () => {
  // As the gateway's port: HTTP waits for the client to begin.
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const startedMs = performance.now();
  const failed = await fails('--nats', `nats://127.0.0.1:${(silent.address() as AddressInfo).port}`, 'stats');
  expect(performance.now() - startedMs).toBeLessThan(15_000);
  expect(failed.stderr).toContain('(no greeting within 6 s)');
  silent.close();
});

test('the monitoring port of a nats-server is said to be no NATS', async () => {
  const failed = await fails('--nats', server.monitorUrl.replace('http:', 'nats:'), 'stats');
  expect(failed.stderr).toContain('(what answers there is no NATS)');
});

test('digits are milliseconds wherever a duration is asked for', async () => {
  await trivet('cache', 'set', 'short', 'a', '1', '--ttl', '60000');
  const { ttlMs } = await trivet('cache', 'get', 'short', 'a');
  expect(ttlMs).toBeLessThanOrEqual(60_000);
  expect(await trivet('enqueue', 'later', '1', '--delay', '60000')).toMatchObject({ state: 'scheduled' });
});

test(
  'TRIVET_TOKEN is shown to a NATS that lets nobody in without a token, and to no other',
  { timeout: 90_000 },
  async () => {
    const closed = await startNatsServer({ calloutKeys: newCalloutKeys() });
    try {
      const asked = (token: string) =>
        run(process.execPath, ['services/cli/main.ts', '--nats', closed.url, 'stats'], {
          env: { ...process.env, TRIVET_TOKEN: token, TRIVET_DATA: closed.dir },
        }).catch((error: unknown) => error as { stderr: string });
      const [without, unknown] = await Promise.all([asked(''), asked('unknown')]);
      expect(without.stderr).toContain('name one with --token or TRIVET_TOKEN');
      expect(without.stderr).not.toContain('npm start');
      expect(unknown.stderr).toContain('the token of --token, TRIVET_TOKEN');
    } finally {
      await closed.stop();
    }
    const { stdout } = await run(process.execPath, ['services/cli/main.ts', '--nats', server.url, 'stats'], {
      env: { ...process.env, TRIVET_TOKEN: 'unknown' },
    });
    expect(JSON.parse(stdout)).toHaveProperty('queues');
    // A refusal would be an error in the log of that NATS, each time.
    const closedOnes = await (await fetch(`${server.monitorUrl}/connz?state=closed&limit=1000`)).text();
    expect(closedOnes).toContain('Client Closed');
    expect(closedOnes).not.toContain('Authentication Failure');
  },
);
