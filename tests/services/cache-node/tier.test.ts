import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { Namespaces } from '#services/cache-node/core/namespaces.ts';
import { MemoryBackendPlace } from '#services/cache-node/memory-backend.ts';
import { decodeRow } from '#services/cache-node/row-codec.ts';
import { NodeContents } from '#services/cache-node/slot-contents.ts';
import { readPiece } from '#services/cache-node/slot-records.ts';
import { Tier } from '#services/cache-node/tier.ts';
import { slotOf } from '#shared/protocol/cache-slots.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { FaultyBackend, type FaultyPlace, MemoryTierRecord, setWeather } from './faulty-backend.ts';
import { setOf, valueOf } from './made-namespace.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] }));
afterEach(() => vi.useRealTimers());

/** A namespace with room for few entries in memory, and a backend with weather behind it. */
async function started(isOwn: boolean, entriesMax = 1) {
  let version = 0;
  const versions = {
    next: () => (version += 1),
    raise: (seen: number) => {
      version = Math.max(version, seen);
    },
  };
  const place: FaultyPlace = {
    place: new MemoryBackendPlace(),
    weather: 'fine',
    received: [],
    isPrompt: true,
  };
  const options = { versions, bytesMax: 2 ** 30, epoch: 'e', random01: () => 0.5 };
  const namespaces = new Namespaces({ ...options, hashSecret: [1, 2] });
  const opened = namespaces.open('n');
  if (!opened.ok) throw new Error('no namespace');
  const namespace: Namespace = opened.value;
  namespace.configure({ entriesMax }, 0);
  const backend = new FaultyBackend(place, new SeededRandom(1), systemClock);
  const fetch = vi.spyOn(backend, 'fetch');
  const record = new MemoryTierRecord(systemClock);
  /** What was told of the backend, and how it stood then. */
  const said: object[] = [];
  const tier: Tier = new Tier({
    namespace: 'n',
    node: 'node-1',
    backend,
    isOwn,
    front: namespace.residents,
    clock: systemClock,
    nowMs: () => systemClock.nowMs(),
    versions,
    isMine: () => true,
    quota: () => ({ entriesMax: Infinity, bytesMax: Infinity }),
    record,
    bornMs: () => 1,
    since: 0,
    copies: false,
    deadlineMs: 250,
    changed: ({ degraded }) => {
      const outage = record.notes.get('n')?.outage;
      said.push({ degraded, outage, hasStruck: place.place.rows.has('struck') });
    },
  });
  namespace.noteTo((change) => tier.note(change));
  const contents = new NodeContents({
    namespaces: () => namespaces,
    clock: systemClock,
    tierOf: () => tier,
    fileOf: () => (isOwn ? tier : undefined),
    wallMs: (ms) => ms,
    dismissed: () => undefined,
    clear: () => undefined,
  });
  const untilMs = () => tier.untilMs(systemClock.monotonicMs());
  const set = (key: string, value: number) => {
    tier.deciding(untilMs());
    namespace.set(setOf(key, value), systemClock.nowMs());
    return tier.decided();
  };
  const read = async (...keys: readonly string[]): Promise<unknown> => {
    const until = untilMs();
    for (let wait = tier.prepare(keys, until); wait !== undefined; wait = tier.prepare(keys, until))
      await wait;
    return valueOf(namespace.residents.present(keys[0] ?? '', systemClock.nowMs()));
  };
  /** What the backend, or memory, has of the key. */
  const found = async (key: string): Promise<unknown> => {
    const value = read(key);
    await vi.advanceTimersByTimeAsync(50);
    return value;
  };
  await vi.advanceTimersByTimeAsync(100);
  return { record, place, tier, contents, fetch, said, set, read, found };
}

/** Cuts the backend off. */
async function struck({ place, tier, set }: Awaited<ReturnType<typeof started>>): Promise<void> {
  setWeather(place, 'refusing');
  void set('struck', 0);
  await vi.advanceTimersByTimeAsync(300);
  expect(tier.isDegraded).toBe(true);
}

test('a backend that is back is used again though there is no moment without a change', async () => {
  const made = await started(false, 100);
  await struck(made);
  setWeather(made.place, 'fine');
  let number = 0;
  const change = () => {
    number += 1;
    void made.set(`k${number % 50}`, number);
  };
  const writing = setInterval(change, 1);
  // Whatever the backend answers, and whenever: something has changed since it was asked.
  for (let ms = 0; ms < 5_000 && made.tier.isDegraded; ms += 1) {
    change();
    await vi.advanceTimersByTimeAsync(1);
  }
  clearInterval(writing);
  expect(made.tier.isDegraded).toBe(false);
  await vi.advanceTimersByTimeAsync(100);
  const { rows } = made.place.place;
  for (let one = Math.max(1, number - 49); one <= number; one += 1) {
    const key = `k${one % 50}`;
    const bytes = rows.get(key)?.row.bytes;
    expect(bytes && valueOf(decodeRow(key, bytes))).toBe(one);
  }
});

test('a backend is said to be back when it has all, and whoever comes next believes it', async () => {
  const made = await started(false, 100);
  await struck(made);
  setWeather(made.place, 'fine');
  await vi.advanceTimersByTimeAsync(5_000);
  expect(made.said.at(-1)).toEqual({ degraded: false, outage: false, hasStruck: true });
});

test('a file that was cut off when the process ends has everything all the same, and is believed', async () => {
  const made = await started(true, 100);
  await struck(made);
  setWeather(made.place, 'fine');
  // At once: the breaker would not let anything through for some time yet.
  await Promise.all([made.tier.close(), vi.advanceTimersByTimeAsync(1_000)]);
  expect(made.tier.isRight).toBe(true);
  expect(made.place.place.rows.has('struck')).toBe(true);
  expect(made.record.notes.get('n')).toMatchObject({ outage: false });
});

test('a file that fails to the end is noted as void, and the process ends', async () => {
  const made = await started(true, 100);
  await struck(made);
  const closed = made.tier.close();
  await vi.advanceTimersByTimeAsync(5_000);
  await closed;
  expect(made.record.notes.get('n')).toMatchObject({ outage: true });
});

const slot = slotOf('n', 'a');

test('what a file has of a slot that is given away is not there when the slot comes back', async () => {
  const { tier, contents, set, found } = await started(true);
  void set('a', 1);
  void set('b', 2);
  await vi.advanceTimersByTimeAsync(100);
  contents.prepare([slot]);
  await vi.advanceTimersByTimeAsync(100);
  expect(await found('a')).toBe(1);
  // Memory has room for one: it is in the file alone again, when it is taken out.
  expect(await found('b')).toBe(2);
  contents.take(slot, 1_000);
  await vi.advanceTimersByTimeAsync(100);
  expect(tier.isDegraded).toBe(false);
  expect(await found('a')).toBeUndefined();
  expect(await found('b')).toBe(2);
});

test.each([
  ['is still away', false],
  ['is back', true],
])(
  'what could not be read of a file when its slots were looked for is void, also where the file %s then',
  async (_when, isBack) => {
    const made = await started(true);
    const { place, tier, contents, set, found } = made;
    void set('a', 1);
    void set('b', 2);
    await vi.advanceTimersByTimeAsync(100);
    expect([await found('a'), await found('b')]).toEqual([1, 2]);
    await struck(made);
    contents.prepare([slot]);
    await vi.advanceTimersByTimeAsync(100);
    setWeather(place, 'fine');
    if (isBack) await vi.advanceTimersByTimeAsync(5_000);
    expect(tier.isDegraded).toBe(!isBack);
    contents.take(slot, 1_000);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(tier.isDegraded).toBe(false);
    expect(await found('a')).toBeUndefined();
  },
);

test('what goes from a file to another node is all that it has of the slot, however little memory holds', async () => {
  const { tier, contents, set } = await started(true, 5);
  const keys: string[] = [];
  for (let n = 0; keys.length < 30; n += 1) if (slotOf('n', `k${n}`) === slot) keys.push(`k${n}`);
  for (const key of keys) void set(key, 1);
  await vi.advanceTimersByTimeAsync(200);
  contents.prepare([slot]);
  await vi.advanceTimersByTimeAsync(200);
  const give = async () => {
    for (let reading = contents.ready([slot]); reading !== undefined; reading = contents.ready([slot]))
      await reading;
    return contents.take(slot, 10_000);
  };
  const given = give();
  await vi.advanceTimersByTimeAsync(200);
  const entries = (await given).flatMap((piece) => readPiece(piece, 0).entries);
  expect(entries.map(({ key }) => key).sort()).toEqual(keys.sort());
  expect(tier.isDegraded).toBe(false);
});

test('a slot goes only when the backend has what was decided of it', async () => {
  const { place, contents, set } = await started(false, 5);
  void set('before', 1);
  // Behind another group, which is under way.
  await vi.advanceTimersByTimeAsync(1);
  void set('a', 2);
  contents.take(slot, 1_000);
  let isTaken = false;
  const taken = contents.taken().then(() => {
    isTaken = true;
    return place.place.rows.has('a');
  });
  await vi.advanceTimersByTimeAsync(0);
  expect([isTaken, place.place.rows.has('a')]).toEqual([false, false]);
  await vi.advanceTimersByTimeAsync(100);
  expect(await taken).toBe(true);
});

test('keys that nobody has are asked for once, by whomever and together with whatever', async () => {
  const { tier, fetch, read } = await started(false);
  for (let round = 0; round < 50; round += 1) {
    const [a, b] = [`a${round}`, `b${round}`];
    const one = read(a);
    await vi.advanceTimersByTimeAsync(round % 5);
    const two = read(a, b);
    await vi.advanceTimersByTimeAsync(500);
    await Promise.all([one, two]);
  }
  const asked = fetch.mock.calls.flatMap(([keys]) => keys);
  expect(asked.length).toBeLessThanOrEqual(150);
  expect(tier.isDegraded).toBe(false);
  // More than one question holds.
  fetch.mockClear();
  const many = read(...Array.from({ length: 1_200 }, (_, n) => `c${n}`));
  await vi.advanceTimersByTimeAsync(500);
  await many;
  expect(fetch.mock.calls.flatMap(([keys]) => keys)).toHaveLength(1_200);
});
