import { afterAll, beforeAll, expect, test } from 'vitest';
import type { QueueStats } from '#shared/protocol/queue-schemas.ts';
import { priorities, states } from '#shared/protocol/queue-schemas.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { printedSeed } from './endurance.ts';
import { type RunningQueue, type Shown, leased, listed, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

const stats = async (name: string) => (await queue.ask(name, 'stats')).body as QueueStats;

/** All pages of a list. */
async function all(name: string, request: object = {}): Promise<readonly Shown[]> {
  const items: Shown[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.ask(name, 'list', {
      ...request,
      limit: 100,
      ...(cursor === undefined ? {} : { cursor }),
    });
    items.push(...listed(page));
    ({ cursor } = page.body as { cursor?: string });
  } while (cursor !== undefined);
  return items;
}

const error = { message: 'no', type: 'Meant' };

/** A few hundred requests of all kinds, several at a time. */
async function traffic(name: string, random: SeededRandom, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    await queue.ask(name, 'enqueue-many', {
      items: Array.from({ length: random.integer(1, 20) }, () => ({
        payload: 'x'.repeat(random.integer(0, 5_000)),
        priority: random.pick([...priorities]),
        maxAttempts: random.integer(1, 3),
        ...(random.chance(0.2) ? { delay: '1h' } : {}),
      })),
    });
    const items = leased(await queue.ask(name, 'dequeue', { max: random.integer(1, 20), lease: '1h' }));
    await Promise.all(
      items.map(({ id, token }) => {
        const dice = random.next01();
        if (dice < 0.3) return queue.ask(name, 'complete', { id, token });
        if (dice < 0.5) return queue.ask(name, 'fail', { id, token, error, delay: '1h' });
        if (dice < 0.6) return queue.ask(name, 'fail', { id, token, error, retry: false });
        if (dice < 0.7) return queue.ask(name, 'release', { id, token });
        if (dice < 0.8) return queue.ask(name, 'cancel', { id });
        return queue.ask(name, 'log', { id, token, lines: ['x'.repeat(random.integer(0, 50))] });
      }),
    );
    const state = random.pick(['done', 'failed', 'cancelled', 'retry'] as const);
    if (random.chance(0.2)) await queue.ask(name, 'purge', { state, limit: random.integer(1, 5) });
    if (random.chance(0.1)) await queue.ask(name, 'replay', { state: 'failed', limit: 2 });
  }
}

/** What `list`, `logs` and the payloads say, added up. */
async function addedUp(name: string) {
  const finals = new Set(['done', 'failed', 'cancelled']);
  const items = await all(name);
  const counts: Record<string, number> = {};
  for (const state of states) counts[state] = (await all(name, { state })).length;
  const byPriority: Record<string, number> = {};
  for (const priority of priorities)
    byPriority[priority] = (await all(name, { priority })).filter(({ state }) => !finals.has(state)).length;
  const bytes = items.reduce((sum, { payload }) => sum + Buffer.byteLength(JSON.stringify(payload)), 0);
  const logs = await Promise.all(items.map(({ id }) => queue.ask(name, 'logs', { id, limit: 1_000 })));
  const lines = logs.flatMap(({ body }) => (body as { lines: { line: string }[] }).lines);
  const logBytes = lines.reduce((sum, { line }) => sum + Buffer.byteLength(line), 0);
  return { counts, byPriority, bytes, logBytes, leases: counts['processing'] };
}

test('figures are those of what is stored, after traffic of all kinds and a broker that was killed in it', async () => {
  const random = printedSeed();
  await traffic('counted', random, 15);
  expect(await stats('counted')).toMatchObject(await addedUp('counted'));
  const killed = traffic('counted', random, 4).catch(() => undefined);
  await broker.kill();
  broker = await queue.startBroker();
  await killed;
  await traffic('counted', random, 4);
  expect(await stats('counted')).toMatchObject(await addedUp('counted'));
  await broker.kill();
  broker = await queue.startBroker();
  expect(await stats('counted')).toMatchObject(await addedUp('counted'));
});

test('attempts, expired leases and failures by type go on counting when the broker is killed', async () => {
  const name = 'survives';
  await queue.ask(name, 'enqueue-many', { items: [{ payload: 1 }, { payload: 2 }, { payload: 3 }] });
  const [a, b] = leased(await queue.ask(name, 'dequeue', { max: 2, lease: '1h' }));
  await queue.ask(name, 'fail', { id: a?.id, token: a?.token, error, delay: '1h' });
  await queue.ask(name, 'complete', { id: b?.id, token: b?.token });
  await queue.ask(name, 'dequeue', { lease: '100ms' });
  await expect.poll(async () => (await stats(name)).expiredLeases).toBe(1);
  const counted = { attempts: 3, expiredLeases: 1, failuresByType: { Meant: 1, lease_expired: 1 } };
  expect(await stats(name)).toMatchObject(counted);
  await broker.kill();
  broker = await queue.startBroker();
  expect(await stats(name)).toMatchObject(counted);
  await queue.ask(name, 'dequeue', { lease: '1h' });
  expect(await stats(name)).toMatchObject({ ...counted, attempts: 4 });
});

test('waits and runs have percentiles', async () => {
  await queue.ask('timed', 'enqueue', 1);
  const [item] = leased(await queue.ask('timed', 'dequeue'));
  await queue.ask('timed', 'complete', { id: item?.id, token: item?.token });
  const { waitMs, runMs, rates } = await stats('timed');
  for (const { p50, p95, p99 } of [waitMs, runMs]) expect(p50 <= p95 && p95 <= p99).toBe(true);
  expect(rates['1m']).toMatchObject({ enqueued: 1 / 60, started: 1 / 60, done: 1 / 60, failed: 0 });
});
