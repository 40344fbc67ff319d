import { expect, test } from 'vitest';
import type { StateEvent } from '#services/queue-broker/core/state-event.ts';
import { WorkerRegistry } from '#services/queue-broker/worker-registry.ts';
import { workersMax } from '#shared/protocol/limits.ts';
import { MadePartition } from './made-partition.ts';

const names = (registry: WorkerRegistry, queue: string, nowMs: number) =>
  [...registry.of(queue, nowMs)].map(([worker]) => worker);

test('a worker is known from its first sign until a minute after its last one', () => {
  const registry = new WorkerRegistry();
  for (let at = 1_000; at <= 600_000; at += 7_000) {
    registry.seen('mail', 'ada', at);
    expect([...registry.of('mail', at)]).toEqual([['ada', { since: 1_000, lastAt: at }]]);
  }
  const last = 1_000 + 7_000 * 85;
  expect(names(registry, 'mail', last + 60_000)).toEqual(['ada']);
  expect(names(registry, 'mail', last + 60_001)).toEqual([]);
  registry.seen('mail', 'ada', last + 60_001);
  expect([...registry.of('mail', last + 60_001)][0]?.[1].since).toBe(last + 60_001);
});

test('a sign at one queue is none at another, and whoever said no name is nobody in particular', () => {
  const registry = new WorkerRegistry();
  registry.seen('mail', 'ada', 0);
  registry.seen('images', '', 0);
  expect([names(registry, 'mail', 1), names(registry, 'images', 1)]).toEqual([['ada'], ['']]);
});

test('only so many are remembered of a queue, and those who leave make room', () => {
  const registry = new WorkerRegistry();
  for (let number = 0; number <= workersMax; number += 1) registry.seen('mail', `w${number}`, 0);
  expect(names(registry, 'mail', 1)).toHaveLength(workersMax);
  registry.seen('mail', 'later', 120_001);
  expect(names(registry, 'mail', 120_001)).toEqual(['later']);
});

test('events name who claimed and who ended, once for many that stand together', () => {
  const registry = new WorkerRegistry();
  const event = (worker: string | undefined) => ({ queue: 'mail', worker }) as StateEvent;
  registry.add([event('ada'), event('ada'), event(undefined), event('bob'), event('ada')], 5);
  expect(names(registry, 'mail', 5)).toEqual(['ada', 'bob']);
});

interface Workers {
  readonly workers: readonly {
    readonly worker: string;
    readonly since: string;
    readonly lastSeenAt: string;
    readonly waiting: number;
    readonly items: readonly { readonly id: string; readonly attempt: number }[];
  }[];
  readonly more?: true;
}

const workersOf = async (made: MadePartition) => (await made.answer('workers', {})).value as Workers;

const finished = ['complete', 'fail'] as const;

test.each(finished)('a worker shows itself by %s, with what it goes on holding', async (operation) => {
  const made = await MadePartition.make();
  const ids = await made.enqueue([{ payload: 1 }, { payload: 2 }]);
  const leased = await made.dequeue({ max: 2, worker: 'ada', lease: '1h' });
  const { workers: before } = await workersOf(made);
  await made.clock.advance(50_000);
  await made.answer(operation, {
    ...leased[0],
    ...(operation === 'fail' ? { error: { message: 'no' }, retry: false } : {}),
  });
  const { workers } = await workersOf(made);
  expect(workers).toMatchObject([{ worker: 'ada', waiting: 0, items: [{ id: ids[1], attempt: 1 }] }]);
  expect(workers[0]?.since).toBe(before[0]?.since);
  expect(Date.parse(workers[0]?.lastSeenAt ?? '')).toBeGreaterThanOrEqual(
    Date.parse(before[0]?.lastSeenAt ?? '') + 50_000,
  );
});

test('an extended lease is a sign, one that ran out is none', async () => {
  const made = await MadePartition.make();
  await made.enqueue([{ payload: 1 }]);
  const [leased] = await made.dequeue({ worker: 'ada', lease: '40s' });
  await made.clock.advance(30_000);
  await made.answer('extend', { ...leased, lease: '50s' });
  const { workers } = await workersOf(made);
  const seenAt = Date.parse(workers[0]?.lastSeenAt ?? '');
  expect(Date.parse(workers[0]?.since ?? '')).toBeLessThanOrEqual(seenAt - 30_000);
  await made.clock.advance(55_000);
  expect(await workersOf(made)).toEqual({ workers: [] });
});

test('whoever holds an item is shown for as long as it does, though it says nothing', async () => {
  const made = await MadePartition.make();
  const ids = await made.enqueue([{ payload: 1 }]);
  await made.dequeue({ worker: 'ada', lease: '10m' });
  await made.clock.advance(300_000);
  expect((await workersOf(made)).workers).toMatchObject([{ worker: 'ada', items: [{ id: ids[0] }] }]);
});

test('what a worker fetches as it finishes is its own', async () => {
  const made = await MadePartition.make();
  const ids = await made.enqueue([{ payload: 1 }, { payload: 2 }]);
  const [leased] = await made.dequeue({ worker: 'ada' });
  await made.answer('complete', { ...leased, fetch: { max: 1 } });
  expect((await workersOf(made)).workers).toMatchObject([{ worker: 'ada', items: [{ id: ids[1] }] }]);
});

test('after a takeover whoever holds something is known from what it holds', async () => {
  const made = await MadePartition.make();
  const ids = await made.enqueue([{ payload: 1 }]);
  await made.dequeue({ worker: 'ada', lease: '10m' });
  await made.clock.until(made.partition.drain());
  await made.take();
  await made.clock.advance(90_000);
  expect((await workersOf(made)).workers).toMatchObject([{ worker: 'ada', items: [{ id: ids[0] }] }]);
});

test('a reply holds as much as fits, and says when there is more', async () => {
  const made = await MadePartition.make();
  const items = Array.from({ length: 1_000 }, () => ({ payload: 0 }));
  for (let batch = 0; batch < 50; batch += 1) {
    await made.enqueue(items);
    await made.dequeue({ max: 1_000, worker: `w${batch}`, lease: '1h' });
  }
  const { workers, more } = await workersOf(made);
  expect(more).toBe(true);
  expect(workers[0]?.worker).toBe('w49');
  expect(Buffer.byteLength(JSON.stringify(workers))).toBeLessThan(7 * 2 ** 20);
  expect(workers.reduce((sum, worker) => sum + worker.items.length, 0)).toBeGreaterThan(20_000);
});
