import { expect, test } from 'vitest';
import { EndWatch, type Ended } from '#services/queue-broker/core/end-watch.ts';
import { ResultLine } from '#services/queue-broker/result-line.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { madeItem } from './made-items.ts';

/** A line, and what each waiter heard. */
function made() {
  const clock = new VirtualClock();
  const watch = new EndWatch();
  const line = new ResultLine(clock, watch);
  const heard: string[] = [];
  return {
    clock,
    watch,
    line,
    heard,
    join: (name: string, order = 1, waitMs = 1_000, bytes = 100) =>
      line.join(
        {
          order,
          bytes,
          answer: ({ final }: Ended) => heard.push(`${name} ${final?.item.state ?? 'gone'}`),
          expire: () => heard.push(`${name} expired`),
          refuse: ({ code }) => heard.push(`${name} ${code}`),
        },
        waitMs,
      ),
    end: (order = 1) => watch.ended(madeItem({ order, state: 'done' }), undefined),
    serve: () => {
      for (const answer of line.serve()) answer();
    },
  };
}

const unknown = { code: 'timeout', message: 'not known' } as const;
const notHere = { code: 'unavailable', message: 'not here' } as const;

test('everybody who waits for an item hears of its end, and nobody else does', () => {
  const { join, end, serve, heard, watch, line } = made();
  join('a');
  join('b', 2);
  join('c');
  end();
  serve();
  expect(heard).toEqual(['a done', 'c done']);
  expect([watch.watches(1), watch.watches(2), line.length]).toEqual([false, true, 1]);
});

test('nothing is heard before the turn is over', () => {
  const { join, end, line, heard } = made();
  join('a');
  end();
  const answers = line.serve();
  expect(heard).toEqual([]);
  for (const answer of answers) answer();
  expect(heard).toEqual(['a done']);
});

test('an item that is removed before its end is told as gone', () => {
  const { join, watch, serve, heard } = made();
  join('a');
  watch.removed(1);
  serve();
  expect(heard).toEqual(['a gone']);
});

test('an item that ends and is removed within one turn is told as it ended, once', () => {
  const { join, watch, end, serve, heard } = made();
  join('a');
  end();
  if (watch.watches(1)) watch.removed(1);
  serve();
  expect(heard).toEqual(['a done']);
});

test('the wait ends at its time and not before, and its item is watched no longer than that', async () => {
  const { join, clock, heard, watch, line } = made();
  join('a', 1, 500);
  join('b', 1, 1_000);
  await clock.advance(499);
  expect(heard).toEqual([]);
  await clock.advance(1);
  expect([heard, watch.watches(1)]).toEqual([['a expired'], true]);
  await clock.advance(500);
  expect([heard, watch.watches(1), line.length]).toEqual([['a expired', 'b expired'], false, 0]);
});

test('who was answered does not expire any more', async () => {
  const { join, end, serve, clock, heard } = made();
  join('a');
  end();
  serve();
  await clock.advance(10_000);
  expect(heard).toEqual(['a done']);
});

test('who was served by a record that did not become durable hears that, and only that', async () => {
  const { join, end, line, clock, heard } = made();
  join('a');
  join('b', 2);
  end();
  line.serve();
  for (const waiter of line.takeServed()) waiter.refuse(unknown);
  line.dismiss(notHere);
  await clock.advance(10_000);
  expect(heard).toEqual(['a timeout', 'b unavailable']);
});

test('who was served by one record has nothing to do with the next one', () => {
  const { join, end, serve, line } = made();
  join('a');
  end();
  serve();
  expect(line.takeServed()).toHaveLength(1);
  expect(line.takeServed()).toEqual([]);
});

test('only so many may wait: for one item, for the bytes of its answers, and at all', () => {
  const { join, line, end, serve } = made();
  for (let index = 0; index < 1_000; index += 1) expect(join(`w${index}`)).toBe(true);
  expect(join('one too many for this item')).toBe(false);
  for (let index = 0; index < 64; index += 1) expect(join(`w${index}`, 2, 1_000, 2 ** 20)).toBe(true);
  expect(join('one too many for the bytes', 2, 1_000, 2 ** 20)).toBe(false);
  expect(join('the only one', 3, 1_000, 2 ** 30)).toBe(true);
  for (let order = 100; line.length < 50_000; order += 1) expect(join(`o${order}`, order)).toBe(true);
  expect(join('one too many at all', 99)).toBe(false);
  end(3);
  serve();
  expect(join('later', 99)).toBe(true);
});
