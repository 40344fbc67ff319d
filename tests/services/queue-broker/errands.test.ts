import { expect, test } from 'vitest';
import { Errands } from '#services/queue-broker/errands.ts';
import { sleep } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';

function running(atOnceMax = 10) {
  const clock = new VirtualClock();
  const errands = new Errands({ clock, log: createLog('test', 'silent'), atOnceMax });
  const done: string[] = [];
  const errand = (name: string, outcomes: readonly boolean[] = [true], ms = 10) => {
    const left = [...outcomes];
    return async () => {
      await sleep(clock, ms);
      done.push(name);
      return left.shift() ?? true;
    };
  };
  return { clock, errands, done, errand };
}

test('nothing runs before it may, and each once', async () => {
  const { clock, errands, done, errand } = running();
  errands.run('a', errand('a'));
  errands.run('a', errand('a'));
  await clock.advance(100);
  expect(done).toEqual([]);
  errands.begin();
  await clock.advance(100);
  expect(done).toEqual(['a']);
  expect(errands.count).toBe(0);
});

test('what is asked for while it runs runs once more', async () => {
  const { clock, errands, done, errand } = running();
  errands.begin();
  errands.run('a', errand('a'));
  await clock.advance(5);
  errands.run('a', errand('a'));
  errands.run('a', errand('a'));
  await clock.advance(100);
  expect(done).toEqual(['a', 'a']);
});

test('what fails or throws is tried again, later each time, and holds up nobody meanwhile', async () => {
  const { clock, errands, done, errand } = running(1);
  errands.begin();
  errands.run('bad', errand('bad', [false, false, true]));
  errands.run('broken', () =>
    done.length < 3 ? Promise.reject(new Error('broken')) : Promise.resolve(true),
  );
  errands.run('good', errand('good'));
  await clock.advance(30);
  expect(done).toEqual(['bad', 'good']);
  await clock.advance(40);
  expect(done).toEqual(['bad', 'good', 'bad']);
  await clock.advance(60);
  expect(done).toHaveLength(3);
  await clock.advance(1_000);
  expect(done).toEqual(['bad', 'good', 'bad', 'bad']);
  expect(errands.count).toBe(0);
});

test('no more run at once than may', async () => {
  const { clock, errands, done, errand } = running(2);
  errands.begin();
  for (const name of ['a', 'b', 'c']) errands.run(name, errand(name));
  await clock.advance(15);
  expect(done).toEqual(['a', 'b']);
  await clock.advance(10);
  expect(done).toEqual(['a', 'b', 'c']);
});

test('nothing begins after the stop', async () => {
  const { clock, errands, done, errand } = running(1);
  errands.begin();
  errands.run('a', errand('a', [false]));
  errands.run('b', errand('b'));
  await clock.advance(5);
  errands.stop();
  await clock.advance(10_000);
  expect(done).toEqual(['a']);
});
