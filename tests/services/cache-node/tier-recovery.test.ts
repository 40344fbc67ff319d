import { expect, test } from 'vitest';
import { journalKeysMax } from '#services/cache-node/core/outage-journal.ts';
import type { StoredValue } from '#services/cache-node/core/entry.ts';
import type { EntryRecord, RecordsQuery, Residence } from '#services/cache-node/core/residence.ts';
import { TierTags } from '#services/cache-node/core/tier-tags.ts';
import { TierRecovery, type TierRecoveryOptions } from '#services/cache-node/tier-recovery.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { stored } from './made-namespace.ts';

const recordOf = (key: string, value: StoredValue): EntryRecord => ({
  key,
  value,
  version: 1,
  createdAtMs: 0,
  expiresAtMs: Infinity,
  slidingMs: 0,
  graceMs: 0,
  tags: [],
  fillMs: 0,
});

const taken = { stamp: 0, tags: new Map<string, number>(), lost: false, figures: undefined };

/** Memory that has what it is asked for, and so many entries to be copied. */
const memoryOf = (value: StoredValue, entries = 0): Residence =>
  ({
    peek: (key: string) => recordOf(key, value),
    records: ({ cursor = '0', entriesMax }: RecordsQuery) => {
      const from = Number(cursor);
      const to = Math.min(entries, from + entriesMax);
      const records = Array.from({ length: to - from }, (_, n) => recordOf(`copied-${from + n}`, value));
      return to < entries ? { records, cursor: String(to) } : { records };
    },
  }) as unknown as Residence;

function recoveryOf(
  front: Residence,
  apply: TierRecoveryOptions['apply'],
  given: Partial<TierRecoveryOptions> = {},
): TierRecovery {
  let version = 0;
  return new TierRecovery({
    node: 'node-1',
    backend: { take: () => Promise.resolve(taken) } as unknown as TierRecoveryOptions['backend'],
    isOwn: false,
    front,
    clock: systemClock,
    nowMs: () => 0,
    versions: { next: () => (version += 1), raise: () => undefined },
    isMine: () => true,
    tags: new TierTags(),
    note: { former: () => Promise.resolve(undefined), want: () => undefined, ended: () => Promise.resolve() },
    isOutageElsewhere: () => Promise.resolve(false),
    since: 0,
    deadlineMs: 1_000,
    apply,
    ...given,
  });
}

test('what a backend is told in one go is bounded in bytes, also the last of it', async () => {
  const megabyte = stored('x'.repeat(1_048_576));
  const told: number[] = [];
  const recovery = recoveryOf(memoryOf(megabyte), ({ rows }) => {
    told.push(rows.size);
    return Promise.resolve();
  });
  for (let n = 0; n < 100; n += 1) recovery.journal.add(`k${n}`);
  await recovery.run();
  expect(Math.max(...told)).toBeLessThanOrEqual(5);
  expect(recovery.takeRest()?.keys.length).toBeLessThanOrEqual(4);
  expect(recovery.journal.isEmpty).toBe(true);
});

test('a copy of all memory comes to an end while more keys change than can be noted', async () => {
  const pages = 500;
  let applied = 0;
  let changed = 0;
  const recovery = recoveryOf(memoryOf(stored('small'), pages * 500), () => {
    applied += 1;
    if (applied > 5 * pages) throw new Error('it began anew');
    for (let n = 0; n < 250; n += 1) recovery.journal.add(`changed-${(changed += 1)}`);
    return Promise.resolve();
  });
  recovery.journal.voidAll();
  await recovery.run();
  expect(changed).toBeGreaterThan(journalKeysMax);
  expect(applied).toBeLessThanOrEqual(3 * pages);
});

test('the others are asked again where the backend was not taken after they were', async () => {
  let asked = 0;
  let takes = 0;
  const recovery = recoveryOf(memoryOf(stored('small')), () => Promise.resolve(), {
    isOutageElsewhere: () => {
      asked += 1;
      return Promise.resolve(false);
    },
    backend: {
      take: () => {
        takes += 1;
        return takes === 1 ? Promise.reject(new Error('frozen')) : Promise.resolve(taken);
      },
    } as unknown as TierRecoveryOptions['backend'],
  });
  await expect(recovery.run()).rejects.toThrow('frozen');
  await recovery.run();
  expect(asked).toBe(2);
  await recovery.run();
  expect(asked).toBe(2);
  recovery.askOthers();
  await recovery.run();
  expect(asked).toBe(3);
});
