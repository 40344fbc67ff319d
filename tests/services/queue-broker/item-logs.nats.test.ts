import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type RunningQueue, leased, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

interface Page {
  readonly lines: readonly { readonly number: number; readonly at: string; readonly line: string }[];
  readonly count: number;
}

const held = async (name: string) => {
  await queue.ask(name, 'enqueue', 1);
  const [item] = leased(await queue.ask(name, 'dequeue'));
  return { id: item?.id ?? '', token: item?.token ?? 0 };
};

const logs = async (name: string, request: object, ask: 'ask' | 'askPacked' = 'ask') =>
  (await queue[ask](name, 'logs', request)).body as Page;

test('a worker logs lines for its item, anybody reads them in pages, in both encodings', async () => {
  const item = await held('logged');
  const lines = Array.from({ length: 25 }, (_, n) => `line "${n + 1}" ü😀\n`);
  expect((await queue.ask('logged', 'log', { ...item, lines })).body).toEqual({ id: item.id, count: 25 });
  expect((await queue.askPacked('logged', 'log', { ...item, lines: ['last'] })).body).toEqual({
    id: item.id,
    count: 26,
  });
  for (const ask of ['ask', 'askPacked'] as const) {
    const seen: string[] = [];
    for (let after = 0; after < 26;) {
      const page = await logs('logged', { id: item.id, after, limit: 10 }, ask);
      expect(page.count).toBe(26);
      seen.push(...page.lines.map(({ line }) => line));
      after = page.lines.at(-1)?.number ?? 26;
    }
    expect(seen).toEqual([...lines, 'last']);
  }
  const { lines: first } = await logs('logged', { id: item.id });
  expect(first[0]).toMatchObject({ number: 1, attempt: 1, at: expect.stringMatching(/^20.*Z$/u) as string });
});

test('a stale token logs nothing, and an unknown item has no log', async () => {
  const item = await held('stale');
  await queue.ask('stale', 'complete', item);
  expect(await queue.ask('stale', 'log', { ...item, lines: ['late'] })).toMatchObject({
    status: 409,
    body: { error: { code: 'lease_lost' } },
  });
  expect(await logs('stale', { id: item.id })).toEqual({ lines: [], count: 0 });
  expect(await queue.ask('stale', 'logs', { id: '0-zzzz' })).toMatchObject({ status: 404 });
});

test('the longest lines of a whole log are read in pages that fit a reply', async () => {
  const item = await held('long');
  // Six bytes of JSON each.
  const lines = Array.from({ length: 100 }, () => '\u0001'.repeat(1_024));
  for (let batch = 0; batch < 12; batch += 1) await queue.ask('long', 'log', { ...item, lines });
  const numbers: number[] = [];
  for (let after = 0; after < 1_200;) {
    const page = await logs('long', { id: item.id, after, limit: 1_000 });
    numbers.push(...page.lines.map(({ number }) => number));
    after = page.lines.at(-1)?.number ?? 1_200;
  }
  expect(numbers).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 201));
});

test('lines are there after the broker was killed, and gone with their item', async () => {
  const item = await held('kept');
  await queue.ask('kept', 'log', { ...item, lines: ['before'] });
  await broker.kill();
  broker = await queue.startBroker();
  await queue.ask('kept', 'log', { ...item, lines: ['after'] });
  expect((await logs('kept', { id: item.id })).lines.map(({ line }) => line)).toEqual(['before', 'after']);
  await queue.ask('kept', 'complete', item);
  expect(await logs('kept', { id: item.id })).toMatchObject({ count: 2 });
  await queue.ask('kept', 'purge', { id: item.id });
  expect(await queue.ask('kept', 'logs', { id: item.id })).toMatchObject({ status: 404 });
  expect((await auditLog(queue.server)).faults).toEqual([]);
});
