import { expect, test } from 'vitest';
import type { Turn } from '#services/queue-broker/core/turn.ts';
import { WaitingLine } from '#services/queue-broker/waiting-line.ts';
import { prepared } from '#services/queue-broker/work.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { MadeTable } from './made-table.ts';

/** A line, a stock of items for whoever comes, and what each waiter heard. */
function line() {
  const clock = new VirtualClock();
  const waiting = new WaitingLine(clock);
  const made = new MadeTable();
  const heard: string[] = [];
  const stock = { left: 0 };
  return {
    clock,
    waiting,
    heard,
    stock,
    join: (name: string, queue = 'mail', waitMs = 1_000, claim?: string) =>
      waiting.join(
        {
          queue,
          claim,
          decide: () => {
            if (stock.left === 0) return undefined;
            stock.left -= 1;
            return () => heard.push(`${name} served`);
          },
          expire: () => heard.push(`${name} expired`),
          refuse: ({ code }) => heard.push(`${name} ${code}`),
        },
        waitMs,
      ),
    serve: (queue = 'mail') => made.turn(0, (turn: Turn) => waiting.serve(queue, turn)),
  };
}

const unknown = { code: 'timeout', message: 'not known' } as const;

test('who came first is served first, until nothing is left', () => {
  const { join, serve, stock, heard, waiting } = line();
  for (const name of ['a', 'b', 'c']) join(name);
  stock.left = 2;
  for (const answer of serve()) prepared(answer)();
  expect(heard).toEqual(['a served', 'b served']);
  expect(waiting.has('mail')).toBe(true);
  stock.left = 1;
  for (const answer of serve()) prepared(answer)();
  expect(heard).toEqual(['a served', 'b served', 'c served']);
  expect(waiting.has('mail')).toBe(false);
});

test('who waits at another queue is not asked', () => {
  const { join, serve, stock, waiting } = line();
  join('a', 'images');
  stock.left = 1;
  expect(serve('mail')).toEqual([]);
  expect(waiting.has('images')).toBe(true);
});

test('who has waited long enough goes with nothing, at the time and not before', async () => {
  const { join, clock, heard, waiting } = line();
  join('a', 'mail', 1_000);
  join('b', 'mail', 500);
  await clock.advance(499);
  expect(heard).toEqual([]);
  await clock.advance(1);
  expect(heard).toEqual(['b expired']);
  await clock.advance(500);
  expect(heard).toEqual(['b expired', 'a expired']);
  expect(waiting.has('mail')).toBe(false);
});

test('who asks again under the same claim is served, and who asked before goes with nothing in its time', async () => {
  const { join, serve, stock, clock, heard, waiting } = line();
  join('a', 'mail', 500, 'question');
  join('b', 'mail', 1_000, 'another');
  join('c', 'images', 1_000, 'question');
  join('d', 'mail', 1_000, 'question');
  expect([...waiting.workersAt('mail')].length).toBe(2);
  stock.left = 3;
  for (const answer of serve()) prepared(answer)();
  expect(heard).toEqual(['b served', 'd served']);
  join('e', 'mail', 1_000, 'question');
  await clock.advance(500);
  expect(heard.slice(2)).toEqual(['a expired']);
  join('f', 'mail', 1_000, 'question');
  stock.left = 2;
  for (const answer of serve()) prepared(answer)();
  await clock.advance(1_000);
  expect(heard.slice(3)).toEqual(['f served', 'c expired', 'e expired']);
  expect(waiting.has('mail')).toBe(false);
  join('g', 'mail', 1_000, 'question');
  join('h', 'mail', 1_000, 'question');
  waiting.dismiss();
  expect(heard.slice(6).sort()).toEqual(['g expired', 'h expired']);
});

test('who was served does not expire any more', async () => {
  const { join, serve, stock, clock, heard } = line();
  join('a');
  stock.left = 1;
  for (const answer of serve()) prepared(answer)();
  await clock.advance(10_000);
  expect(heard).toEqual(['a served']);
});

test('when all are sent away each one hears it once', async () => {
  const { join, waiting, clock, heard } = line();
  join('a');
  join('b', 'images');
  waiting.dismiss();
  waiting.dismiss();
  await clock.advance(10_000);
  expect(heard).toEqual(['a expired', 'b expired']);
});

test('who was served by a record that did not become durable hears that, and only that', async () => {
  const { join, serve, stock, waiting, clock, heard } = line();
  join('a');
  join('b');
  stock.left = 1;
  serve();
  for (const waiter of waiting.takeServed()) waiter.refuse(unknown);
  await clock.advance(10_000);
  expect(heard).toEqual(['a timeout', 'b expired']);
});

test('who was served by one record has nothing to do with the next one', () => {
  const { join, serve, stock, waiting } = line();
  join('a');
  stock.left = 1;
  serve();
  expect(waiting.takeServed()).toHaveLength(1);
  expect(waiting.takeServed()).toEqual([]);
});

test('only so many may wait, and a place that was left is free again', async () => {
  const { join, waiting, clock, heard } = line();
  for (let index = 0; index < 50_000; index += 1) expect(join(`w${index}`)).toBe(true);
  expect(join('one too many')).toBe(false);
  await clock.advance(1_000);
  expect(heard).toHaveLength(50_000);
  expect(waiting.has('mail')).toBe(false);
  expect(join('later')).toBe(true);
});
