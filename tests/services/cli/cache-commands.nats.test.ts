import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Trivet, connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

const run = promisify(execFile);
let server: RunningNatsServer;
let node: ServiceProcess;
let client: Trivet;

beforeAll(async () => {
  server = await startNatsServer();
  node = await startService('cache-node', natsEnvironment(server));
  client = await connect({ url: server.url });
});

afterAll(async () => {
  await client?.close();
  await node?.stop();
  await server?.stop();
});

const raw = (...args: string[]) =>
  run(process.execPath, ['services/cli/main.ts', '--nats', server.url, 'cache', ...args]);
const cache = async (...args: string[]): Promise<unknown> =>
  JSON.parse((await raw(...args)).stdout) as unknown;
const refused = (...args: string[]) =>
  raw(...args).then(
    () => ({ code: 0, stdout: '', stderr: '' }),
    (error: unknown) => error as { code: number; stdout: string; stderr: string },
  );

test('every command does to the cache what it says', { timeout: 120_000 }, async () => {
  await cache('configure', 'cli', '{"entriesMax":100,"defaultTtl":"1h"}');
  expect(
    await cache('set', 'cli', 'a', '{"n":1}', '--ttl', '1m', '--tag', 'red', '--tag', 'big'),
  ).toHaveProperty('version');
  expect(await cache('get', 'cli', 'a')).toMatchObject({ hit: true, value: { n: 1 } });
  await expect(cache('set', 'cli', 'a', '2', '--if-absent')).rejects.toMatchObject({ code: 1 });
  expect(await cache('touch', 'cli', 'a', '0')).toEqual({ touched: true });
  expect((await client.cache('cli').getEntry('a'))?.ttlMs).toBeUndefined();
  expect(await cache('increment', 'cli', 'n', '41')).toMatchObject({ value: 41 });
  expect(await cache('increment', 'cli', 'n', '--', '-1')).toMatchObject({ value: 40 });
  expect(await cache('exists', 'cli', 'n')).toEqual({ exists: true });
  expect(await cache('keys', 'cli', '--prefix', 'n')).toEqual({ keys: ['n'] });
  expect(await cache('invalidate', 'cli', 'red')).toEqual({ tags: 1 });
  expect(await cache('delete', 'cli', 'a', 'n')).toEqual({ items: [{ deleted: false }, { deleted: true }] });
  expect(await cache('stats', 'cli')).toMatchObject({ entriesMax: 100, defaultTtlMs: 3_600_000 });
  expect(await cache('clear', 'cli')).toHaveProperty('cleared');
});

test('every digit of a number stays, on the way in and out', { timeout: 60_000 }, async () => {
  const value = '{"id":12345678901234567890,"price":1.10,"far":1e400}';
  await raw('set', 'digits', 'a', value);
  expect((await raw('get', 'digits', 'a')).stdout).toContain(`"value":${value}`);
});

test('bad input is bad usage, by the name of the field', { timeout: 60_000 }, async () => {
  for (const [args, field] of [
    [['set', 'cli', 'a', 'no json'], 'value'],
    [['configure', 'cli', '{"entriesMax":0}'], 'entriesMax'],
    [['get', 'not a name', 'a'], 'name'],
  ] as const) {
    const { code, stderr } = await refused(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(field)]);
  }
});

test(
  'what is exported and imported comes back as it was, and expires when it would have',
  { timeout: 120_000 },
  async () => {
    const values = client.cache('moved', { encoding: 'application/msgpack' });
    const special = { at: new Date(5), tags: new Set(['a']), bytes: Buffer.from([1, 2]), big: 2n ** 70n };
    await Promise.all([
      ...Array.from({ length: 1_200 }, (_, n) => values.set(`p:${n}`, { n, text: 'ü"\n' })),
      values.set('special', special),
      values.set('short', 1, { ttl: 30_000 }),
    ]);
    const file = `${server.dir}/moved.ndjson`;
    expect(await cache('export', 'moved', file)).toEqual({ exported: 1_202 });
    await client.cache('moved').clear();
    await client.cache('moved').set('p:7', 'newer');
    expect(await cache('import', file, '--if-absent')).toEqual({
      imported: 1_201,
      expired: 0,
      present: 1,
      refused: 0,
    });
    expect(await values.get('p:7')).toBe('newer');
    expect(await cache('import', file)).toMatchObject({ imported: 1_202, refused: 0 });
    expect(await values.getMany(['p:7', 'p:1199'])).toEqual([
      { n: 7, text: 'ü"\n' },
      { n: 1_199, text: 'ü"\n' },
    ]);
    const back = (await values.get('special')) as typeof special;
    expect({ ...back, bytes: Buffer.from(back.bytes) }).toEqual(special);
    expect((await values.getEntry('short'))?.ttlMs).toBeLessThan(30_000);
    const { stdout } = await raw('export', 'moved', '-', '--prefix', 'p:11');
    expect(stdout.trim().split('\n')).toHaveLength(111);
  },
);

test('what JSON alone carries is exported, and comes back digit by digit', { timeout: 60_000 }, async () => {
  const file = `${server.dir}/exact.ndjson`;
  await writeFile(
    file,
    '{"key":"n","value":[12345678901234567890,1.10]}\n{"key":"half","value":"\\ud83d"}\n',
  );
  expect(await cache('import', file, '--namespace', 'exact')).toMatchObject({ imported: 2, refused: 0 });
  const { subjects, nats } = client;
  const kept = await nats.connection.request(subjects.cache('exact', 'get'), JSON.stringify({ key: 'n' }));
  expect(kept.string()).toContain('[12345678901234567890,1.10]');
  const { stdout } = await raw('export', 'exact');
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { key: string; value: unknown });
  expect(lines.find(({ key }) => key === 'half')?.value).toBe('\ud83d');
});

test('a bad line is refused by its number and holds up no other', { timeout: 60_000 }, async () => {
  const file = `${server.dir}/bad.ndjson`;
  await writeFile(
    file,
    [
      '{"key":"a","value":1,"ttl":"1m","tags":["t"]}',
      'no json',
      '',
      '{"key":"b","valu":1}',
      '{"key":"c"}',
      '{"key":7,"value":1}',
      '{"key":"d","value":1,"expiresAt":"2001-01-01T00:00:00Z"}',
      '{"key":"e","value":1,"expiresAt":"never"}',
      '{"key":"f","msgpack":"kg=="}',
      '{"key":"g","value":1,"ttl":"soon"}',
      '{"namespace":"other","key":"h","value":null}',
      '[1]',
      '{"namespace":null,"key":"n","value":1}',
    ].join('\n'),
  );
  const { code, stdout, stderr } = await refused('import', file, '--namespace', 'warm');
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toEqual({ imported: 2, expired: 1, present: 0, refused: 9 });
  const told = stderr
    .split('\n')
    .map((line) => /^line (\d+): invalid_request: (\w+)/.exec(line)?.slice(1).join(' '));
  expect(told.filter((one) => one !== undefined).toSorted()).toEqual(
    [
      '10 ttl',
      '12 line',
      '13 namespace',
      '2 the',
      '4 valu',
      '5 value',
      '6 key',
      '8 expiresAt',
      '9 msgpack',
    ].toSorted(),
  );
  expect(await client.cache('warm').getMany(['a', 'b'])).toEqual([1, undefined]);
  expect(await client.cache('other').get('h')).toBeNull();
  expect((await refused('import', file)).stderr).toContain('--namespace names none');
  expect(await refused('import', `${server.dir}/none.ndjson`)).toMatchObject({ code: 1 });
  expect(await readFile(file, 'utf8')).toContain('no json');
});
