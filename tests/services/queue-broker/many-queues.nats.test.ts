import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningQueue, startQueue } from './running-queue.ts';

const count = 20_000;
const name = (number: number) => `a-queue-with-quite-a-long-name-so-that-many-do-not-fit-${String(number)}`;

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
  for (let from = 0; from < count; from += 1_000) {
    const numbers = Array.from({ length: 1_000 }, (_, index) => from + index);
    await Promise.all(numbers.map((number) => queue.ask(name(number), 'enqueue', number)));
  }
}, 120_000);

afterAll(() => queue?.stop());

interface Page<T> {
  readonly queues: readonly T[];
  readonly cursor?: string;
}

async function pages<T>(what: 'stats' | 'list', request: object = {}): Promise<readonly Page<T>[]> {
  const read: Page<T>[] = [];
  let cursor: string | undefined;
  do {
    const body = { ...request, ...(cursor === undefined ? {} : { cursor }) };
    const reply = await queue.send(`trivet.queue.${what}`, JSON.stringify(body));
    expect(reply.status).toBe(0);
    read.push(reply.body as Page<T>);
    ({ cursor } = reply.body as Page<T>);
  } while (cursor !== undefined);
  return read;
}

const expected = Array.from({ length: count }, (_, number) => name(number)).sort();

test(
  'the figures of twenty thousand queues come in pages that fit, each queue once',
  { timeout: 60_000 },
  async () => {
    const read = await pages<{ queue: string; counts: { pending: number } }>('stats');
    expect(read.length).toBeGreaterThan(1);
    const figures = read.flatMap(({ queues }) => queues);
    expect(figures.map((one) => one.queue)).toEqual(expected);
    expect(figures.every(({ counts }) => counts.pending === 1)).toBe(true);
  },
);

test('their names come in pages, too, as large as was asked for', async () => {
  expect((await pages<string>('list')).flatMap(({ queues }) => queues)).toEqual(expected);
  const small = await pages<string>('list', { limit: 7_000 });
  expect(small.map(({ queues }) => queues.length)).toEqual([7_000, 7_000, 6_000]);
  const [first] = await pages<{ queue: string }>('stats', { limit: 10_000, cursor: expected.at(-3) });
  expect(first?.queues.map((one) => one.queue)).toEqual(expected.slice(-2));
});

test('a bad page is refused by its field', async () => {
  for (const [field, value] of [
    ['limit', 0],
    ['limit', 10_001],
    ['cursor', 'not a name'],
    ['after', 'x'],
  ] as const)
    for (const what of ['stats', 'list'])
      expect(await queue.send(`trivet.queue.${what}`, JSON.stringify({ [field]: value }))).toMatchObject({
        status: 400,
        body: { error: { details: { field } } },
      });
});
