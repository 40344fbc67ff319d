import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decidePause } from '#services/queue-broker/core/admin-decisions.ts';
import type { Fact } from '#services/queue-broker/core/facts.ts';
import type { Schedule } from '#services/queue-broker/core/schedule.ts';
import {
  type ScheduleChanges,
  checkSchedules,
  decideSchedules,
  decideSlots,
} from '#services/queue-broker/core/schedule-decisions.ts';
import { MadeTable } from './made-table.ts';
import { madeSchedule, madeSlots } from '#tests/support/made-slots.ts';

const slots = madeSlots();

test('each slot makes one item, which says where it comes from; a schedule begins after it was configured', () => {
  const made = new MadeTable();
  configure(made, 1_500, { tick: madeSchedule() });
  expect(fire(made, 1_999)).toEqual([]);
  expect(made.table.nextWakeAt).toBe(2_000);
  expect(fire(made, 2_003)).toEqual([2_000]);
  expect(fire(made, 2_004)).toEqual([]);
  expect(fire(made, 3_000)).toEqual([3_000]);
  expect(made.table.item(1)).toMatchObject({
    queue: 'mail',
    state: 'pending',
    headers: { 'trivet-schedule': 'tick', 'trivet-slot': '1970-01-01T00:00:02.000Z' },
  });
  expect(progress(made)).toEqual({ nextAt: 4_000, lastAt: 3_000, skipped: 0 });
});

test('an item has the options of its schedule, and of its queue where the schedule says nothing', () => {
  const made = new MadeTable();
  const { item } = madeSchedule();
  made.turn(0, (turn) => turn.emit({ kind: 'configured', queue: 'mail', settings: { attemptsMax: 7 } }));
  const options = { band: 0, timeoutMs: 5, expiresMs: 40, group: 'g', headers: { a: 'b' } };
  configure(made, 0, { tick: madeSchedule({ item: { ...item, options } }) });
  fire(made, 1_000);
  expect(made.table.item(1)).toMatchObject({
    band: 0,
    timeoutMs: 5,
    expiresAt: 1_040,
    group: 'g',
    attemptsMax: 7,
    headers: { a: 'b', 'trivet-schedule': 'tick' },
  });
});

test('slots that a busy owner is late for are made one by one, whatever is said of missed ones', () => {
  for (const missed of ['once', 'skip', 'all'] as const) {
    const made = new MadeTable();
    configure(made, 0, { tick: madeSchedule({ missed }) });
    expect(fire(made, 4_500, 0)).toEqual([1_000, 2_000, 3_000, 4_000]);
  }
});

test('once: the slots that were missed make one item, for the newest', () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule() });
  expect(fire(made, 90_500, 90_200)).toEqual([90_000]);
  expect(fire(made, 91_000, 90_200)).toEqual([91_000]);
});

test('once: a slot that is not missed does not swallow those that are', () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule() });
  expect(fire(made, 92_500, 90_200)).toEqual([90_000, 91_000, 92_000]);
});

test('skip: slots of more than a minute ago make nothing, the others do', () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule({ cron: '10000', missed: 'skip' }) });
  expect(fire(made, 200_500, 200_400)).toEqual([150_000, 160_000, 170_000, 180_000, 190_000, 200_000]);
  expect(progress(made)).toMatchObject({ nextAt: 210_000 });
});

test('skip: when no slot is of the last minute, the next one is awaited', () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule({ cron: '500000', missed: 'skip' }) });
  expect(fire(made, 1_900_000, 1_900_000)).toEqual([]);
  expect(progress(made)).toEqual({ nextAt: 2_000_000, skipped: 0 });
  expect(fire(made, 2_000_000, 1_900_000)).toEqual([2_000_000]);
});

test('all: every missed slot makes an item, in order, the newest thousand at most', () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule({ missed: 'all' }) });
  const few = fire(made, 500_500, 500_400);
  expect(few).toEqual(Array.from({ length: 500 }, (_, n) => (n + 1) * 1_000));
  const many = fire(made, 5_000_500, 5_000_400);
  expect(many).toEqual(Array.from({ length: 1_000 }, (_, n) => 4_001_000 + n * 1_000));
});

test('all: making up is decided once, and goes on after a crash in the middle', async () => {
  const counted = madeSlots();
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule({ cron: '60000', missed: 'all' }) });
  const since = 1_500 * 60_000 + 500;
  const first = turnOf(made, since + 1, since, counted);
  expect(first.slots).toHaveLength(100);
  await made.commit();
  const again = made.reloaded();
  // The new owner has missed nothing that the former one has not decided to make up for, but its own absence.
  const rest = fire(again, since + 30_000, since + 30_000);
  expect([...first.slots, ...rest]).toEqual(Array.from({ length: 1_000 }, (_, n) => (n + 501) * 60_000));
  expect(counted.asked()).toBeLessThan(2_000);
});

test('a record has room for some slots alone, and the next one goes on', () => {
  const made = new MadeTable();
  const { item } = madeSchedule();
  const large = { ...item, payload: new Uint8Array(300_000) };
  configure(made, 0, { tick: madeSchedule({ item: large }), tock: madeSchedule() });
  const one = turnOf(made, 20_000, 0);
  expect(one.more).toBe(true);
  expect(one.bytes).toBeLessThan(1_400_000);
  expect(one.slots.length).toBeLessThan(12);
  const all = [...one.slots, ...fire(made, 20_000, 0)];
  expect(all).toHaveLength(40);
});

test('a schedule that is changed keeps its place, unless its slots are others', () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule() });
  fire(made, 1_000);
  configure(made, 1_200, { tick: madeSchedule({ missed: 'all' }, '"other"') });
  expect(progress(made)).toEqual({ nextAt: 2_000, lastAt: 1_000, skipped: 0 });
  fire(made, 2_000);
  expect(new TextDecoder().decode(made.table.payload(2))).toBe('"other"');
  configure(made, 2_100, { tick: madeSchedule({ cron: '3000' }) });
  expect(progress(made)).toEqual({ nextAt: 3_000, skipped: 0 });
  configure(made, 2_200, { tick: madeSchedule({ cron: '3000', timeZone: 'Europe/Berlin' }) });
  expect(fire(made, 6_500, 2_200)).toEqual([3_000, 6_000]);
});

test('a schedule that is removed makes nothing any more, and leaves nothing behind', async () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule(), tock: madeSchedule({ cron: '1500' }) });
  configure(made, 500, { tick: null, unknown: null });
  expect(fire(made, 3_000)).toEqual([1_500, 3_000]);
  made.turn(3_001, (turn) => decideSchedules(turn, slots, 'mail', 'none'));
  expect(made.table.schedules.of('mail').size).toBe(0);
  expect(made.table.schedules.nextAt).toBeUndefined();
  await made.commit();
  expect([...made.store.records()]).toEqual([]);
});

test('a paused queue goes on getting its items', () => {
  const made = new MadeTable();
  made.turn(0, (turn) => decidePause(turn, 'mail', true));
  configure(made, 0, { tick: madeSchedule() });
  expect(fire(made, 2_000, 0)).toEqual([1_000, 2_000]);
});

test('a slot that finds the queue full, or the log, makes nothing and is counted', () => {
  const made = new MadeTable();
  made.turn(0, (turn) => turn.emit({ kind: 'configured', queue: 'mail', settings: { itemsMax: 2 } }));
  configure(made, 0, { tick: madeSchedule() });
  expect(fire(made, 5_000, 0)).toEqual([1_000, 2_000]);
  expect(progress(made)).toEqual({ nextAt: 6_000, lastAt: 2_000, skipped: 3 });
  expect(made.table.schedules.skippedOf('mail')).toBe(3);
  const other = new MadeTable();
  configure(other, 0, { tick: madeSchedule() });
  other.turn(1_000, (turn) => decideSlots(turn, { slots, attendedSince: 0, hasRoom: false }));
  expect(progress(other)).toEqual({ nextAt: 2_000, skipped: 1 });
});

test('a pattern that never comes, too many schedules and too large ones are refused, and change nothing', () => {
  const made = new MadeTable();
  const check = (changes: Record<string, Schedule | null>) =>
    made.turn(0, (turn) => checkSchedules(turn, slots, 'mail', new Map(Object.entries(changes))));
  expect(check({ x: madeSchedule({ cron: 'never' }) })).toMatchObject({
    error: { code: 'invalid_request', details: { field: 'schedules.x.cron' } },
  });
  const many = (from: number, count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`n${from + n}`, madeSchedule()]));
  configure(made, 0, many(0, 60));
  expect(check(many(20, 80))).toMatchObject({ ok: true });
  expect(check(many(20, 81))).toMatchObject({ error: { details: { field: 'schedules' } } });
  expect(check({ ...many(20, 81), n0: null })).toMatchObject({ ok: true });
  const { item } = madeSchedule();
  const large = madeSchedule({ item: { ...item, payload: new Uint8Array(600_000) } });
  expect(check({ a: large })).toMatchObject({ ok: true });
  expect(check({ a: large, b: large })).toMatchObject({ error: { code: 'payload_too_large' } });
});

test('a pattern that has come to its end rests, and wakes nobody', () => {
  const made = new MadeTable();
  configure(made, 0, { tick: madeSchedule() });
  const ending = { ...slots, nextSlot: () => undefined };
  made.turn(1_000, (turn) => decideSlots(turn, { slots: ending, attendedSince: 0, hasRoom: true }));
  expect(progress(made)).toEqual({ lastAt: 1_000, skipped: 0 });
  expect(made.table.nextWakeAt).toBeUndefined();
  // And so does one whose slots do not go forward.
  const standing = { ...slots, nextSlot: (_: unknown, afterMs: number) => afterMs };
  configure(made, 1_500, { tock: madeSchedule() });
  expect(turnOf(made, 2_000, 0, standing).slots).toEqual([2_000]);
  expect(made.table.nextWakeAt).toBeUndefined();
});

/** A life of a schedule: times go on, back and far ahead; owners crash, with what they stored or without. */
const lives = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
    fc.record({ kind: fc.constant('jump' as const), ms: fc.integer({ min: -200_000, max: 3_000_000 }) }),
    fc.record({ kind: fc.constant('takeover' as const), ms: fc.integer({ min: 0, max: 400_000 }) }),
    fc.record({ kind: fc.constant('store' as const), ms: fc.constant(0) }),
  ),
  { maxLength: 30 },
);

test.each(['once', 'skip', 'all'] as const)(
  'whatever clocks and owners do, no slot comes twice or before its time, and replay agrees (%s)',
  async (missed) => {
    await fc.assert(
      fc.asyncProperty(lives, fc.constantFrom('1000', '7000', '60000'), async (life, cron) => {
        const world = new Life(madeSchedule({ cron, missed }));
        for (const { kind, ms } of life) await world.live(kind, ms);
        const { fired, attended } = world;
        expect(fired).toEqual([...new Set(fired)].sort((a, b) => a - b));
        // None of the slots that an owner was there for is lost, and under `all` none but the oldest of a thousand.
        const kept = new Set(fired);
        for (const slot of attended) expect(kept).toContain(slot);
        if (missed === 'all') for (const slot of world.bounded) expect(kept).toContain(slot);
        expect(world.replayed().table.schedules.of('mail')).toEqual(world.made.table.schedules.of('mail'));
      }),
      { numRuns: 60 },
    );
  },
);

/** One schedule under a clock that jumps. Keeps the log, so that every crash can be replayed from it. */
class Life {
  made = new MadeTable();
  readonly fired: number[] = [];
  /** Slots that came while an owner watched. */
  readonly attended = new Set<number>();
  /** Slots that are the newest thousand of an absence. */
  readonly bounded = new Set<number>();
  readonly #log: { readonly at: number; readonly facts: readonly Fact[] }[] = [];
  readonly #period: number;
  #wall = 1_000_000;
  #since = 1_000_000;
  #seen = 1_000_000;

  constructor(schedule: Schedule) {
    this.#period = Number(schedule.cron);
    this.#note(this.#wall, (turn) => decideSchedules(turn, slots, 'mail', new Map([['tick', schedule]])));
  }

  async live(kind: 'wait' | 'jump' | 'takeover' | 'store', ms: number): Promise<void> {
    if (kind === 'store') return this.made.commit();
    this.#wall += ms;
    if (kind === 'takeover') {
      // The table of the dead owner is behind by what it had not stored; the log has it all.
      this.made = this.replayed();
    }
    if (kind !== 'wait') this.#since = this.#wall;
    const until = Math.max(this.#wall, this.#seen);
    const slotsPassed = Math.floor(until / this.#period) - Math.floor(this.#seen / this.#period);
    for (let n = Math.max(1, slotsPassed - 999); n <= slotsPassed; n += 1) {
      const slot = (Math.floor(this.#seen / this.#period) + n) * this.#period;
      if (slot >= this.#since) this.attended.add(slot);
      this.bounded.add(slot);
    }
    this.#seen = until;
    let more = true;
    while (more) {
      more = this.#note(this.#wall, (turn) =>
        decideSlots(turn, { slots, attendedSince: this.#since, hasRoom: true }),
      ).more;
    }
  }

  /** The table that the log alone gives. Asks no clock and no cron. */
  replayed(): MadeTable {
    const made = new MadeTable();
    for (const [index, { at, facts }] of this.#log.entries()) {
      for (const fact of facts) made.table.apply(fact, at, index + 1);
      made.table.advance(index + 1, at);
    }
    return made;
  }

  #note<T>(at: number, decide: Parameters<typeof MadeTable.prototype.turn<T>>[1]): T {
    return this.made.turn(at, (turn) => {
      const decided = decide(turn);
      if (turn.facts.length === 0) return decided;
      this.#log.push({ at: turn.at, facts: [...turn.facts] });
      for (const slot of slotsOf(turn.facts)) {
        expect(slot).toBeLessThanOrEqual(turn.at);
        this.fired.push(slot);
      }
      return decided;
    });
  }
}

function configure(made: MadeTable, at: number, changes: Record<string, Schedule | null>): void {
  const asked: ScheduleChanges = new Map(Object.entries(changes));
  made.turn(at, (turn) => decideSchedules(turn, slots, 'mail', asked));
}

/** The slots that make items until nothing is due any more. @param since the owner has been there */
function fire(made: MadeTable, at: number, since = 0): readonly number[] {
  const fired: number[] = [];
  for (;;) {
    const { slots: some, more } = turnOf(made, at, since);
    fired.push(...some);
    if (!more) return fired;
  }
}

function turnOf(made: MadeTable, at: number, attendedSince: number, by = slots as typeof slots | object) {
  const inputs = { slots: by as typeof slots, attendedSince, hasRoom: true };
  return made.turn(at, (turn) => ({ ...decideSlots(turn, inputs), slots: slotsOf(turn.facts) }));
}

const slotsOf = (facts: readonly Fact[]): readonly number[] =>
  facts.flatMap((fact) => (fact.kind === 'slot-passed' && fact.order !== undefined ? [fact.slot ?? 0] : []));

const progress = (made: MadeTable) =>
  made.table.schedules.of('mail').get([...made.table.schedules.of('mail').keys()][0] ?? '')?.progress;
