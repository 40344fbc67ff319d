import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type RunningQueue, leased, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

interface Shown {
  readonly worker: string;
  readonly since: string;
  readonly lastSeenAt: string;
  readonly waiting: number;
  readonly items: readonly { readonly id: string }[];
}

const workers = async (ask: 'ask' | 'askPacked' = 'ask') =>
  ((await queue[ask]('mail', 'workers')).body as { workers: readonly Shown[] }).workers.toSorted((a, b) =>
    a.worker < b.worker ? -1 : 1,
  );

test('who works on what and who waits is told by name, also after the broker was killed', async () => {
  expect(await workers()).toEqual([]);
  await queue.ask('mail', 'enqueue-many', { items: [{ payload: 1 }, { payload: 2 }, { payload: 3 }] });
  const ada = leased(await queue.ask('mail', 'dequeue', { max: 2, worker: 'ada', lease: '1m' }));
  const nameless = leased(await queue.ask('mail', 'dequeue', { lease: '1m' }));
  const waiting = [1, 2].map(() => queue.ask('mail', 'dequeue', { worker: 'bob', wait: '9s' }));
  await queue.client.flush();
  const expected = [
    { worker: '', waiting: 0, items: nameless.map(({ id }) => ({ id, attempt: 1 })) },
    { worker: 'ada', waiting: 0, items: ada.map(({ id }) => ({ id, attempt: 1 })) },
    { worker: 'bob', waiting: 2, items: [] },
  ];
  for (const ask of ['ask', 'askPacked'] as const) expect(await workers(ask)).toMatchObject(expected);
  await queue.ask('mail', 'enqueue-many', { items: [{ payload: 4 }, { payload: 5 }] });
  const bob = (await Promise.all(waiting)).flatMap((reply) => leased(reply));
  expect((await workers()).find(({ worker }) => worker === 'bob')).toMatchObject({
    waiting: 0,
    items: bob.map(({ id }) => ({ id })),
  });
  await broker.kill();
  broker = await queue.startBroker();
  expect((await workers()).map(({ worker, items }) => [worker, items.length])).toEqual([
    ['', 1],
    ['ada', 2],
    ['bob', 2],
  ]);
  const [first] = ada;
  await queue.ask('mail', 'complete', { id: first?.id, token: first?.token });
  expect((await workers()).find(({ worker }) => worker === 'ada')?.items).toHaveLength(1);
});
