import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideCancel } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideFail, decideRelease } from '#services/queue-broker/core/lease-decisions.ts';
import { QueueCounters, loadCounters } from '#services/queue-broker/core/queue-counters.ts';
import { decidePurgeAll } from '#services/queue-broker/core/purge-decisions.ts';
import { decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { MadeTable } from './made-table.ts';

const mail = 'mail';

const figures = ({ table }: MadeTable) => {
  const { attempts, expiredLeases, failuresByType } = table.queue(mail)?.counters ?? {};
  return { attempts, expiredLeases, failures: Object.fromEntries(failuresByType ?? []) };
};

const lease = (made: MadeTable, at: number, max = 1) =>
  made.turn(at, (turn) => decideDequeue(turn, { queue: mail, max, leaseMs: 1_000 }));

const fail = (made: MadeTable, order: number, token: number, type: string) =>
  made.turn(1, (turn) =>
    decideFail(turn, mail, { id: itemId(0, order), token, retry: true, error: { message: 'no', type } }),
  );

test('attempts, expired leases and failures by type are counted, and the same after a restart', async () => {
  const made = new MadeTable();
  for (let count = 0; count < 4; count += 1) made.enqueue(0);
  const [a, b, c, d] = lease(made, 0, 4).map(({ order, token }) => ({ id: itemId(0, order), order, token }));
  fail(made, a?.order ?? 0, a?.token ?? 0, 'Meant');
  if (b !== undefined) made.turn(1, (turn) => decideRelease(turn, mail, b));
  if (c !== undefined) made.turn(1, (turn) => decideComplete(turn, mail, c));
  expect(d?.order).toBe(4);
  made.turn(2_000, (turn) => decideTime(turn));
  const expected = { attempts: 4, expiredLeases: 1, failures: { Meant: 1, lease_expired: 1 } };
  expect(figures(made)).toEqual(expected);
  await made.commit();
  const reloaded = made.reloaded();
  expect(figures(reloaded)).toEqual(expected);
  lease(reloaded, 2_000);
  expect(figures(reloaded)).toMatchObject({ attempts: 5 });
});

test('items that end are counted by how, and the same after a restart', async () => {
  const made = new MadeTable();
  const finished = ({ table }: MadeTable) => table.queue(mail)?.counters.finished;
  for (let count = 0; count < 4; count += 1) made.enqueue(0, { maxAttempts: 1 });
  const [a, b] = lease(made, 0, 2).map(({ order, token }) => ({ id: itemId(0, order), order, token }));
  if (a !== undefined) made.turn(1, (turn) => decideComplete(turn, mail, a));
  fail(made, b?.order ?? 0, b?.token ?? 0, 'Meant');
  made.turn(1, (turn) => decideCancel(turn, mail, itemId(0, 3)));
  expect(finished(made)).toEqual({ done: 1, failed: 1, cancelled: 1 });
  await made.commit();
  const reloaded = made.reloaded();
  expect(finished(reloaded)).toEqual({ done: 1, failed: 1, cancelled: 1 });
  const [c] = lease(reloaded, 2);
  if (c !== undefined)
    reloaded.turn(2, (turn) => decideComplete(turn, mail, { id: itemId(0, c.order), token: c.token }));
  expect(finished(reloaded)).toEqual({ done: 2, failed: 1, cancelled: 1 });
});

test('what a broker wrote that did not count ends is read, and counted on from nothing', () => {
  const changed = new Set<QueueCounters>();
  const counters = new QueueCounters(mail, changed);
  loadCounters(
    `figures/${mail}`,
    { attempts: 7, expiredLeases: 1, failures: [['Meant', 2]] },
    () => counters,
  );
  counters.countFinished('cancelled');
  expect([counters.attempts, counters.finished]).toEqual([7, { done: 0, failed: 0, cancelled: 1 }]);
  expect(changed).toEqual(new Set([counters]));
});

test('an attempt that ran too long is a failure, and no expired lease', () => {
  const made = new MadeTable();
  made.enqueue(0, { timeout: '500ms' });
  lease(made, 0);
  made.turn(600, (turn) => decideTime(turn));
  expect(figures(made)).toEqual({ attempts: 1, expiredLeases: 0, failures: { timeout: 1 } });
});

test('types beyond a hundred count as one, and any word may be a type', () => {
  const made = new MadeTable();
  for (let number = 0; number < 105; number += 1) {
    made.enqueue(0, { maxAttempts: 2 });
    const [item] = lease(made, 0);
    fail(made, item?.order ?? 0, item?.token ?? 0, number === 0 ? '__proto__' : `type ${number}`);
  }
  const { failures } = figures(made);
  expect(Object.keys(failures)).toHaveLength(101);
  expect([failures['other'], Object.getOwnPropertyDescriptor(failures, '__proto__')?.value]).toEqual([5, 1]);
});

test('what was counted is written with the commits in which something changed, and in no others', async () => {
  const made = new MadeTable();
  made.enqueue(0);
  lease(made, 0);
  expect([...made.table.takeChanges().changes.records.keys()]).toEqual(['figures/mail']);
  made.table.stored();
  made.enqueue(0);
  expect([...made.table.takeChanges().changes.records.keys()]).toEqual([]);
});

test('what was counted goes with the queue', async () => {
  const made = new MadeTable();
  made.enqueue(0);
  lease(made, 0);
  made.turn(1, (turn) => decidePurgeAll(turn, mail, 10));
  await made.commit();
  expect([...made.store.records()].map(([key]) => key)).toEqual(['forgotten/mail']);
  made.enqueue(2);
  expect(figures(made)).toEqual({ attempts: 0, expiredLeases: 0, failures: {} });
});

test('whenever it is stored, a restart counts on from there as the log does', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('lease', 'fail', 'commit', 'restart'), { maxLength: 30 }),
      async (steps) => {
        let made = new MadeTable();
        const expected = { attempts: 0, expiredLeases: 0, failures: {} as Record<string, number> };
        for (const step of steps) {
          if (step === 'commit') await made.commit();
          if (step === 'restart') {
            await made.commit();
            made = made.reloaded();
          }
          if (step === 'lease') {
            made.enqueue(0);
            if (lease(made, 0).length > 0) expected.attempts += 1;
          }
          const [item] = made.table.leased.values();
          if (step !== 'fail' || item === undefined) continue;
          fail(made, item.order, item.token, 'Meant');
          expected.failures['Meant'] = (expected.failures['Meant'] ?? 0) + 1;
        }
        if (made.table.queue(mail) !== undefined) expect(figures(made)).toEqual(expected);
      },
    ),
    { numRuns: 50 },
  );
});
