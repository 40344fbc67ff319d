import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideCancel, decideReplay } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideFail } from '#services/queue-broker/core/lease-decisions.ts';
import { decideLog } from '#services/queue-broker/core/log-decisions.ts';
import { decidePurgeAll } from '#services/queue-broker/core/purge-decisions.ts';
import { logLinesKeptMax } from '#shared/protocol/limits.ts';
import { MadeTable, value } from './made-table.ts';

const mail = 'mail';
const id = itemId(0, 1);

/** A leased item. */
function leased(made = new MadeTable()) {
  made.enqueue(0);
  const [item] = lease(made, 0);
  return { made, token: item?.token ?? 0 };
}

const lease = (made: MadeTable, at: number) =>
  made.turn(at, (turn) => decideDequeue(turn, { queue: mail, max: 1, leaseMs: 60_000 }));

const log = (made: MadeTable, token: number, lines: readonly string[], at = 1) =>
  made.turn(at, (turn) => decideLog(turn, mail, { id, token, lines }));

const read = (made: MadeTable, after = 0) => {
  const item = made.table.item(1);
  return item === undefined ? [] : [...made.table.logLines(item, after)];
};

const records = async (made: MadeTable) => {
  await made.commit();
  return [...made.store.records()].filter(([key]) => key.startsWith('log/'));
};

test('lines are numbered from 1 and say when and in which attempt they were written', () => {
  const { made, token } = leased();
  expect(value(log(made, token, ['one', 'two'], 5))).toEqual({ id, count: 2 });
  made.turn(6, (turn) =>
    decideFail(turn, mail, { id, token, retry: true, delayMs: 0, error: { message: 'no' } }),
  );
  made.turn(7, (turn) => turn.emit({ kind: 'due', orders: [1] }));
  const [again] = lease(made, 8);
  expect(value(log(made, again?.token ?? 0, ['three'], 9))).toEqual({ id, count: 3 });
  expect(read(made)).toEqual([
    { number: 1, at: 5, attempt: 1, line: 'one' },
    { number: 2, at: 5, attempt: 1, line: 'two' },
    { number: 3, at: 9, attempt: 2, line: 'three' },
  ]);
  expect(read(made, 2).map(({ line }) => line)).toEqual(['three']);
  expect(read(made, 3)).toEqual([]);
});

test('only the holder writes: a stale token has lost its lease, a cancelled item says so', () => {
  const { made, token } = leased();
  const lost = { ok: false, error: { code: 'lease_lost' } };
  expect(log(made, token + 1, ['x'])).toMatchObject(lost);
  expect(made.turn(1, (turn) => decideLog(turn, 'other', { id, token, lines: ['x'] }))).toMatchObject({
    error: { code: 'not_found' },
  });
  made.turn(1, (turn) => decideCancel(turn, mail, id));
  expect(log(made, token, ['x'])).toMatchObject({ error: { code: 'wrong_state' } });
  const other = leased(new MadeTable());
  other.made.turn(1, (turn) => decideComplete(turn, mail, { id, token: other.token }));
  expect(log(other.made, other.token, ['x'])).toMatchObject(lost);
  expect([read(made), read(other.made)]).toEqual([[], []]);
});

test('the newest thousand are kept, their numbers go on, and what is stored stays bounded', async () => {
  const { made, token } = leased();
  let written = 0;
  for (const batch of [1, 99, 100, 7, ...Array.from({ length: 30 }, () => 93)]) {
    const lines = Array.from({ length: batch }, (_, index) => `line ${written + index + 1}`);
    written += batch;
    expect(value(log(made, token, lines)).count).toBe(Math.min(written, logLinesKeptMax));
    const kept = read(made);
    expect(kept.map(({ number, line }) => line === `line ${number}`)).toEqual(kept.map(() => true));
    expect(kept[0]?.number).toBe(Math.max(1, written - logLinesKeptMax + 1));
    expect(kept.at(-1)?.number).toBe(written);
  }
  expect((await records(made)).length).toBeLessThanOrEqual(logLinesKeptMax / 50 + 1);
});

test('one more line writes one record, however many there are', async () => {
  const { made, token } = leased();
  for (let batch = 0; batch < 9; batch += 1)
    log(
      made,
      token,
      Array.from({ length: 100 }, () => 'x'),
    );
  await made.commit();
  log(made, token, ['one more']);
  const { changes } = made.table.takeChanges();
  expect([...changes.records.keys()]).toHaveLength(1);
});

test('lines survive a restart and a replay of their item, and go with it', async () => {
  const { made, token } = leased();
  log(made, token, ['one', 'ü€😀']);
  const fail = { id, token, retry: false, error: { message: 'no' } };
  made.turn(2, (turn) => decideFail(turn, mail, fail));
  made.turn(3, (turn) => decideReplay(turn, mail, id));
  expect(await records(made)).toHaveLength(1);
  const reloaded = made.reloaded();
  expect(read(reloaded)).toEqual(read(made));
  expect(reloaded.table.queue(mail)?.logBytes).toBe(3 + Buffer.byteLength('ü€😀'));
  reloaded.turn(4, (turn) => decidePurgeAll(turn, mail, 10));
  expect(await records(reloaded)).toEqual([]);
});

test('lines go when the item is swept', async () => {
  const { made, token } = leased(new MadeTable({ done: { count: 0 }, failed: {} }));
  log(
    made,
    token,
    Array.from({ length: 60 }, () => 'x'),
  );
  expect(await records(made)).toHaveLength(2);
  made.turn(2, (turn) => decideComplete(turn, mail, { id, token }));
  expect(await records(made)).toEqual([]);
  expect(made.table.queue(mail)?.logBytes).toBe(0);
});

test('the bytes of a queue are those of the lines that are stored, whatever was written', async () => {
  const batches = fc.array(
    fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { minLength: 1, maxLength: 100 }),
    { maxLength: 25 },
  );
  await fc.assert(
    fc.asyncProperty(batches, async (written) => {
      const { made, token } = leased();
      for (const lines of written) log(made, token, lines);
      const stored = (await records(made)).flatMap(
        ([, record]) => (record as { lines: [number, number, string][] }).lines,
      );
      const bytes = stored.reduce((sum, [, , line]) => sum + Buffer.byteLength(line), 0);
      expect(made.table.queue(mail)?.logBytes).toBe(bytes);
      expect(made.reloaded().table.queue(mail)?.logBytes).toBe(bytes);
    }),
    { numRuns: 40 },
  );
});
