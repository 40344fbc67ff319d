import { expect, test } from 'vitest';
import { OutageJournal, journalKeysMax } from '#services/cache-node/core/outage-journal.ts';

const everything = (journal: OutageJournal) => journal.take(Infinity);

test('a key is noted once, however often it changes', () => {
  const journal = new OutageJournal();
  for (const key of ['a', 'b', 'a']) journal.add(key);
  expect(everything(journal)).toMatchObject({ keys: ['a', 'b'], clears: false, copies: false });
  expect(journal.isEmpty).toBe(true);
});

test('a clear makes what changed before it uninteresting, and nothing after it', () => {
  const journal = new OutageJournal();
  journal.add('a');
  journal.clear();
  journal.add('b');
  expect(everything(journal)).toMatchObject({ keys: ['b'], clears: true, copies: false });
});

test('more keys than it may hold make everything void, and memory is to be copied', () => {
  const journal = new OutageJournal();
  for (let key = 0; key <= journalKeysMax; key += 1) journal.add(`k${key}`);
  expect(journal.size).toBe(0);
  journal.add('later');
  expect(everything(journal)).toMatchObject({ keys: [], clears: true, copies: true });
  journal.add('after that');
  expect(everything(journal)).toMatchObject({ keys: ['after that'], clears: false, copies: false });
});

test('more bytes than it may hold do so, too', () => {
  const journal = new OutageJournal();
  for (let key = 0; key < 9_000; key += 1) journal.add(String(key).padEnd(1_000, 'x'));
  expect(everything(journal)).toMatchObject({ clears: true, copies: true });
});

test('a part that was given back is there again, with what was noted meanwhile', () => {
  const journal = new OutageJournal();
  journal.add('a');
  journal.addTag('red', 7);
  journal.clear();
  journal.add('b');
  const part = everything(journal);
  journal.add('c');
  journal.addTag('red', 9);
  journal.giveBack(part);
  const all = everything(journal);
  expect(all).toMatchObject({ clears: true, copies: false });
  expect([...all.keys].sort((a, b) => a.localeCompare(b))).toEqual(['b', 'c']);
  expect([...all.tags]).toEqual([['red', 9]]);
});

test('a part that voided everything does so again when it was given back', () => {
  const journal = new OutageJournal();
  journal.voidAll();
  const part = everything(journal);
  journal.add('a');
  journal.giveBack(part);
  expect(everything(journal)).toMatchObject({ keys: [], clears: true, copies: true });
});
