import { expect, test } from 'vitest';
import type { LoadOutcome } from '#services/cache-node/core/fills.ts';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { madeNamespace, setOf, valueOf } from './made-namespace.ts';

/** Asks for a key; `said` are all answers, those that came at once and those that came later. */
function load(namespace: Namespace, key: string, nowMs: number, { leaseMs = 1_000, waitMs = 5_000 } = {}) {
  const said: LoadOutcome[] = [];
  // A copy, since an entry is good only while it is answered.
  const answer = (outcome: LoadOutcome) => said.push(structuredClone(outcome));
  const outcome = namespace.load(key, { leaseMs, waitMs, waiter: { answer } }, nowMs);
  if (outcome !== undefined) answer(outcome);
  return said;
}

const tokenOf = ([outcome]: readonly LoadOutcome[]): number =>
  outcome?.kind === 'granted' || outcome?.kind === 'hit' ? (outcome.right?.token ?? 0) : 0;

const fill = (
  namespace: Namespace,
  value: unknown,
  given: { loadToken: number; tags?: string[] },
  nowMs = 0,
) => namespace.set(setOf('k', value, given), nowMs);

const hitOf = ([outcome]: readonly LoadOutcome[]) =>
  outcome?.kind === 'hit' ? valueOf(outcome.entry) : outcome?.kind;

test('of many that miss one may fill, and all the others get what it sets', () => {
  const namespace = madeNamespace();
  const filler = load(namespace, 'k', 0);
  const others = Array.from({ length: 100 }, () => load(namespace, 'k', 1));
  expect(filler).toMatchObject([{ kind: 'granted', right: { leaseMs: 1_000 } }]);
  expect(others.every((said) => said.length === 0)).toBe(true);
  expect(namespace.stats(1).loads).toMatchObject({ granted: 1, waiting: 100 });
  expect(fill(namespace, 'filled', { loadToken: tokenOf(filler) }, 40)).toMatchObject({ ok: true });
  expect(others.map(hitOf)).toEqual(others.map(() => 'filled'));
  expect(namespace.stats(40).loads).toMatchObject({ granted: 1, waiting: 0 });
  expect(hitOf(load(namespace, 'k', 41))).toBe('filled');
});

test('a token is good once, and only the one in force', () => {
  const namespace = madeNamespace();
  const token = tokenOf(load(namespace, 'k', 0));
  const lost = { ok: false, error: { code: 'lease_lost', details: { key: 'k' } } };
  expect(fill(namespace, 1, { loadToken: token + 1 })).toMatchObject(lost);
  expect(namespace.get('k', 0)).toBeUndefined();
  expect(fill(namespace, 2, { loadToken: token })).toMatchObject({ ok: true });
  expect(fill(namespace, 3, { loadToken: token })).toMatchObject(lost);
  expect(valueOf(namespace.get('k', 0))).toBe(2);
});

test('a failing fill is told to all who wait, and to those who ask while it is remembered', () => {
  const namespace = madeNamespace();
  const token = tokenOf(load(namespace, 'k', 0));
  const waiting = load(namespace, 'k', 0);
  const failed = { key: 'k', loadToken: token, message: 'the source is down', ttlMs: 100 };
  expect(namespace.loadFailed(failed, 10)).toMatchObject({ ok: true });
  expect(waiting).toMatchObject([{ kind: 'failed', message: 'the source is down' }]);
  expect(load(namespace, 'k', 109.5)).toMatchObject([{ kind: 'failed', retryAfterMs: 1 }]);
  expect(namespace.get('k', 50)).toBeUndefined();
  expect(load(namespace, 'k', 110)).toMatchObject([{ kind: 'granted' }]);
  expect(namespace.loadFailed(failed, 110)).toMatchObject({ ok: false, error: { code: 'lease_lost' } });
});

test('a failure without a ttl is not remembered', () => {
  const namespace = madeNamespace();
  const token = tokenOf(load(namespace, 'k', 0));
  namespace.loadFailed({ key: 'k', loadToken: token, message: 'once', ttlMs: 0 }, 0);
  expect(load(namespace, 'k', 0)).toMatchObject([{ kind: 'granted' }]);
});

test('a set or a delete ends a remembered failure', () => {
  for (const end of [
    (namespace: Namespace) => namespace.set(setOf('k', 1, { ttlMs: 1 }), 5),
    (namespace: Namespace) => namespace.delete('k', 5),
  ]) {
    const namespace = madeNamespace();
    const loadToken = tokenOf(load(namespace, 'k', 0));
    namespace.loadFailed({ key: 'k', loadToken, message: 'no', ttlMs: 1_000 }, 0);
    end(namespace);
    expect(load(namespace, 'k', 10)).toMatchObject([{ kind: 'granted' }]);
  }
});

test('the right of one that died passes on to who has waited longest, and the late one is refused', () => {
  const namespace = madeNamespace();
  const dead = load(namespace, 'k', 0);
  const first = load(namespace, 'k', 10, { leaseMs: 300 });
  const second = load(namespace, 'k', 20);
  namespace.expire(100, 999.9);
  expect(first).toEqual([]);
  namespace.expire(100, 1_000);
  expect(first).toMatchObject([{ kind: 'granted', right: { leaseMs: 300 } }]);
  expect(second).toEqual([]);
  expect(fill(namespace, 'late', { loadToken: tokenOf(dead) }, 1_001)).toMatchObject({ ok: false });
  fill(namespace, 'heir', { loadToken: tokenOf(first) }, 1_002);
  expect(hitOf(second)).toBe('heir');
  expect(namespace.stats(1_002).loads).toMatchObject({ granted: 2, expired: 1, waiting: 0 });
});

test('a wait ends at its time, and does not get the right any more', () => {
  const namespace = madeNamespace();
  load(namespace, 'k', 0);
  const short = load(namespace, 'k', 0, { waitMs: 50 });
  expect(load(namespace, 'k', 0, { waitMs: 0 })).toEqual([{ kind: 'late' }]);
  const long = load(namespace, 'k', 0);
  namespace.expire(100, 50);
  expect(short).toEqual([{ kind: 'late' }]);
  namespace.expire(100, 1_000);
  expect(short).toHaveLength(1);
  expect(long).toMatchObject([{ kind: 'granted' }]);
});

test('what was read from the source before a deletion never lands behind it', () => {
  const deletions: Readonly<Record<string, (namespace: Namespace) => unknown>> = {
    delete: (namespace) => namespace.delete('k', 5),
    clear: (namespace) => namespace.clear(5),
    tags: (namespace) => namespace.invalidateTags(['t']),
  };
  for (const [name, invalidate] of Object.entries(deletions)) {
    const namespace = madeNamespace();
    const before = load(namespace, 'k', 0);
    const heir = load(namespace, 'k', 1);
    const waiting = load(namespace, 'k', 2);
    invalidate(namespace);
    const late = fill(namespace, 'old', { loadToken: tokenOf(before), tags: ['t'] }, 6);
    expect([name, late]).toMatchObject([name, { ok: false, error: { code: 'lease_lost' } }]);
    expect([name, heir]).toMatchObject([name, [{ kind: 'granted' }]]);
    fill(namespace, 'new', { loadToken: tokenOf(heir), tags: ['t'] }, 7);
    expect([name, hitOf(waiting)]).toEqual([name, 'new']);
    expect(valueOf(namespace.get('k', 8))).toBe('new');
  }
});

test('a tag that the fill does not name leaves its right alone', () => {
  const namespace = madeNamespace();
  const loadToken = tokenOf(load(namespace, 'k', 0));
  namespace.invalidateTags(['other']);
  expect(fill(namespace, 1, { loadToken, tags: ['t'] })).toMatchObject({ ok: true });
});

test('a set by anybody else answers who waits, and voids the right', () => {
  const namespace = madeNamespace();
  const filler = load(namespace, 'k', 0);
  const waiting = load(namespace, 'k', 0);
  namespace.set(setOf('k', 'fresh'), 1);
  expect(hitOf(waiting)).toBe('fresh');
  expect(fill(namespace, 'old', { loadToken: tokenOf(filler) }, 2)).toMatchObject({ ok: false });
  expect(valueOf(namespace.get('k', 3))).toBe('fresh');
});

test('a set that is refused for its size leaves the right as it is', () => {
  const namespace = madeNamespace();
  namespace.configure({ bytesMax: 2_000 }, 0);
  const loadToken = tokenOf(load(namespace, 'k', 0));
  expect(fill(namespace, 'x'.repeat(3_000), { loadToken })).toMatchObject({
    error: { code: 'payload_too_large' },
  });
  expect(fill(namespace, 'x', { loadToken })).toMatchObject({ ok: true });
});

test('in its grace an entry is served stale to all, and one of them refreshes it', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('k', 'old', { ttlMs: 100, graceMs: 1_000 }), 0);
  expect(hitOf(load(namespace, 'k', 99.9))).toBe('old');
  const refresher = load(namespace, 'k', 100);
  expect(refresher).toMatchObject([{ kind: 'hit', right: { leaseMs: 1_000 } }]);
  const other = load(namespace, 'k', 101);
  expect([hitOf(other), tokenOf(other)]).toEqual(['old', 0]);
  expect(valueOf(namespace.get('k', 102))).toBe('old');
  expect(namespace.stats(102)).toMatchObject({ hits: 4, staleHits: 3, misses: 0 });
  fill(namespace, 'new', { loadToken: tokenOf(refresher) }, 150);
  expect(valueOf(namespace.get('k', 151))).toBe('new');
});

test('a failed refresh with a ttl keeps the right back, and the stale entry is still served', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('k', 'old', { ttlMs: 100, graceMs: 1_000 }), 0);
  const loadToken = tokenOf(load(namespace, 'k', 100));
  namespace.loadFailed({ key: 'k', loadToken, message: 'down', ttlMs: 200 }, 110);
  expect([hitOf(load(namespace, 'k', 309)), tokenOf(load(namespace, 'k', 309))]).toEqual(['old', 0]);
  expect(tokenOf(load(namespace, 'k', 310))).toBeGreaterThan(0);
});

test('an early refresh is likelier the nearer the end and the longer the last fill took', () => {
  let random01 = 0;
  const namespace = madeNamespace({ random01: () => random01 });
  namespace.configure({ earlyRefresh: 1 }, 0);
  const loadToken = tokenOf(load(namespace, 'k', 0));
  namespace.set(setOf('k', 1, { loadToken, ttlMs: 1_000 }), 100);
  // The fill took 100 ms: with this chance a refresh is due -100 × ln(1 − 0.95) ≈ 300 ms before the end.
  random01 = 0.95;
  expect(tokenOf(load(namespace, 'k', 790))).toBe(0);
  random01 = 0.5;
  expect(tokenOf(load(namespace, 'k', 850))).toBe(0);
  random01 = 0.95;
  expect(tokenOf(load(namespace, 'k', 850))).toBeGreaterThan(0);
  expect(tokenOf(load(namespace, 'k', 1_099))).toBe(0);
});

test('there is no early refresh unless it is asked for, nor of what was not filled', () => {
  const namespace = madeNamespace({ random01: () => 0.999_999 });
  const loadToken = tokenOf(load(namespace, 'k', 0));
  namespace.set(setOf('k', 1, { loadToken, ttlMs: 100 }), 90);
  expect(tokenOf(load(namespace, 'k', 189))).toBe(0);
  namespace.configure({ earlyRefresh: 10 }, 0);
  namespace.set(setOf('k', 1, { ttlMs: 100 }), 189);
  expect(tokenOf(load(namespace, 'k', 288))).toBe(0);
});

test('who waits is told when the node no longer answers', () => {
  const namespace = madeNamespace();
  load(namespace, 'k', 0);
  const waiting = load(namespace, 'k', 0);
  namespace.fills.close();
  expect(waiting).toEqual([{ kind: 'closed' }]);
  expect(load(namespace, 'k', 1)).toMatchObject([{ kind: 'granted' }]);
});
