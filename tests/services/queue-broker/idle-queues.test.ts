import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { ClaimWindow } from '#services/queue-broker/core/claim-window.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import type { Item } from '#services/queue-broker/core/item.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete } from '#services/queue-broker/core/lease-decisions.ts';
import type { QueueCounters } from '#services/queue-broker/core/queue-counters.ts';
import { QueueFigures } from '#services/queue-broker/core/queue-figures.ts';
import { QueueIndex } from '#services/queue-broker/core/queue-index.ts';
import { defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import { decideConfigure } from '#services/queue-broker/core/settings-decisions.ts';
import { stateEvent } from '#services/queue-broker/core/state-event.ts';
import { decideSweep } from '#services/queue-broker/core/time-decisions.ts';
import { madeItem } from './made-items.ts';
import { MadeTable } from './made-table.ts';

const queues = 10_000;
/** What a queue that was used once and holds a finished item may cost, in bytes: index and figures. */
const bytesPerQueueMax = 4_096;

const changedWindows = new Set<ClaimWindow>();
const changedCounters = new Set<QueueCounters>();

/** Bytes that are in use, of objects and of the arrays beside them. */
function bytesInUse(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** The life of one item in a queue of its own, and the figures of it. */
function usedOnce(order: number): readonly [QueueIndex, QueueFigures] {
  // What has to be stored is noted in one place for all queues, as the table does it.
  const queue = new QueueIndex(`queue-${order}`, defaultSettings, changedWindows, changedCounters);
  const figures = new QueueFigures();
  const pending = madeItem({ order, queue: queue.name });
  const leased: Item = { ...pending, state: 'processing', startedAt: 5 };
  const done: Item = { ...leased, state: 'done', finishedAt: 9 };
  let before: Item | undefined;
  for (const after of [pending, leased, done]) {
    queue.moved(before, after);
    figures.add(stateEvent(before, after, 1_000_000), 1_000_000);
    before = after;
  }
  return [queue, figures];
}

test('ten thousand queues that were used once and are idle cost a few kilobytes each at most', () => {
  // Once before, so that what is compiled or made but once does not count.
  usedOnce(0);
  const before = bytesInUse();
  const used = Array.from({ length: queues }, (_, index) => usedOnce(index + 1));
  for (const [queue] of used) queue.tidy(2_000_000);
  const bytes = (bytesInUse() - before) / queues;
  expect(used.every(([queue]) => queue.countOf('done') === 1)).toBe(true);
  expect(bytes).toBeLessThan(bytesPerQueueMax);
});

test('a queue of which nothing is left is forgotten a quarter of an hour later, unless it is set to something', () => {
  const made = new MadeTable();
  for (const name of ['plain', 'set', 'paused', 'busy']) {
    made.enqueue(0, {}, name);
    if (name === 'busy') continue;
    const [item] = made.turn(0, (turn) => decideDequeue(turn, { queue: name, max: 1 }));
    const lease = { id: itemId(0, item?.order ?? 0), token: item?.token ?? 0 };
    made.turn(0, (turn) => decideComplete(turn, name, lease));
  }
  made.turn(1, (turn) => decideConfigure(turn, 'set', { attemptsMax: 3 }));
  made.turn(1, (turn) => turn.emit({ kind: 'queue-paused', queue: 'paused', paused: true }));
  const hourMs = 3_600_000;
  const tidied = (at: number) => made.turn(at, (turn) => turn.table.tidy(turn.at));
  expect(tidied(hourMs - 1)).toEqual([]);
  made.turn(hourMs, (turn) => decideSweep(turn));
  expect(tidied(hourMs)).toEqual([]);
  expect(tidied(hourMs + 15 * 60_000 - 1)).toEqual([]);
  expect(tidied(hourMs + 15 * 60_000)).toEqual(['plain']);
  expect([...made.table.queues.keys()].toSorted()).toEqual(['busy', 'paused', 'set']);
});

test('a group is forgotten with its last item, its last lease and the end of its window', () => {
  const made = new MadeTable();
  const limits = { concurrency: { perGroup: 1 }, rateLimit: { perGroup: { count: 1, perMs: 1_000 } } };
  made.turn(0, (turn) => decideConfigure(turn, 'mail', limits));
  for (let group = 0; group < 100; group += 1) made.enqueue(0, { group: `group-${group}` });
  const items = made.turn(10, (turn) => decideDequeue(turn, { queue: 'mail', max: 1_000 }));
  const remembered = () => made.table.queue('mail')?.groupsRemembered;
  expect([items.length, remembered()]).toEqual([100, 200]);
  for (const { order, token } of items)
    made.turn(20, (turn) => decideComplete(turn, 'mail', { id: itemId(0, order), token }));
  expect(remembered()).toBe(100);
  made.turn(1_009, (turn) => turn.table.tidy(turn.at));
  expect(remembered()).toBe(100);
  made.turn(1_010, (turn) => turn.table.tidy(turn.at));
  expect(remembered()).toBe(0);
});

test('nothing of a rate limit stays stored once its windows are over, or the limit is gone', async () => {
  const made = new MadeTable();
  const rate = { count: 2, perMs: 1_000 };
  const stored = async () => {
    await made.commit();
    return [...made.store.records()].map(([key]) => key).filter((key) => key.startsWith('rate/'));
  };
  made.turn(0, (turn) => decideConfigure(turn, 'mail', { rateLimit: { total: rate, perGroup: rate } }));
  const claim = (at: number) => {
    made.enqueue(at, { group: 'g/h' });
    made.turn(at, (turn) => decideDequeue(turn, { queue: 'mail', max: 1 }));
  };
  claim(0);
  expect(await stored()).toEqual(['rate/mail/0', 'rate/mail/0/g/h']);
  made.turn(1_000, (turn) => turn.table.tidy(turn.at));
  expect(await stored()).toEqual([]);
  claim(1_001);
  expect(await stored()).toHaveLength(2);
  made.turn(1_002, (turn) => decideConfigure(turn, 'mail', { rateLimit: { total: rate } }));
  expect(await stored()).toHaveLength(1);
  made.turn(1_003, (turn) => decideConfigure(turn, 'mail', {}));
  expect(await stored()).toEqual([]);
});
