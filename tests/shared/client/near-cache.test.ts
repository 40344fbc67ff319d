import { describe, expect, test } from 'vitest';
import { NearCache, silenceMsMax, writingMsMax } from '#shared/client/near-cache.ts';

const made = (epochOf: (key: string) => string | undefined = () => undefined, entriesMax = 100) =>
  new NearCache({ entriesMax, ttlMs: 60_000, epochOf });

const hit = (value: unknown, version: number, more: object = {}) => ({ hit: true, value, version, ...more });

/** A near cache that has heard of the epoch `a`, and has a copy of each key. */
function withCopies(...keys: readonly string[]): NearCache {
  const near = made();
  near.learn({ epoch: 'a', sequence: 0 }, 0);
  for (const key of keys) near.keep(key, hit(`${key}1`, 10), near.beginRead(), 0);
  return near;
}

const changed = (sequence: number, key: string, version: number, epoch = 'a') => ({
  epoch,
  sequence,
  keys: [key],
  versions: [version],
});
const heartbeat = (sequence: number, epoch = 'a') => ({ epoch, sequence, heartbeat: true as const });

test('nothing is kept before anybody tells what changes', () => {
  const near = made();
  near.keep('k', hit(1, 10), near.beginRead(), 0);
  expect(near.read('k', 0)).toBeUndefined();
  expect(near.stats(0)).toMatchObject({ entries: 0, misses: 1, live: false });
});

test('a copy is served until an event names a higher version of it', () => {
  const near = withCopies('k', 'other');
  expect(near.read('k', 1)).toMatchObject({ value: 'k1', version: 10 });
  near.take(changed(1, 'k', 10), 1);
  expect(near.read('k', 1)).toMatchObject({ value: 'k1' });
  near.take(changed(2, 'k', 11), 1);
  expect(near.read('k', 1)).toBeUndefined();
  expect(near.read('other', 1)).toBeDefined();
  expect(near.stats(1)).toMatchObject({ entries: 1, invalidations: 1, gaps: 0 });
});

test('a copy never outlives the ttl of its entry, counted from when it was asked for', () => {
  const near = made();
  near.learn({ epoch: 'a', sequence: 0 }, 0);
  near.keep('k', hit(1, 10, { ttlMs: 50 }), near.beginRead(), 100);
  expect(near.read('k', 149)).toBeDefined();
  expect(near.read('k', 150)).toBeUndefined();
});

test('a copy never outlives the ttl of the near cache', () => {
  const near = withCopies('k');
  for (let at = 0; at < 60_000; at += 2_000) near.take(heartbeat(0), at);
  expect(near.read('k', 59_999)).toBeDefined();
  expect(near.read('k', 60_000)).toBeUndefined();
});

test('a stale value and a miss are not kept', () => {
  const near = withCopies();
  near.keep('k', hit(1, 10, { stale: true, ttlMs: 0 }), near.beginRead(), 0);
  near.keep('m', { hit: false }, near.beginRead(), 0);
  expect(near.stats(0).entries).toBe(0);
});

test('the bound is kept, and a copy that was not used goes before one that was', () => {
  const near = made(undefined, 2);
  near.learn({ epoch: 'a', sequence: 0 }, 0);
  for (const key of ['x', 'y']) near.keep(key, hit(key, 10), near.beginRead(), 0);
  for (let use = 0; use < 2; use += 1) near.read('x', 0);
  near.keep('z', hit('z', 10), near.beginRead(), 0);
  expect([near.read('x', 0), near.read('y', 0), near.read('z', 0)].map((copy) => copy?.value)).toEqual([
    'x',
    undefined,
    'z',
  ]);
});

test('what this process wrote is kept under the version that the node gave it', () => {
  const near = withCopies('k');
  near.forget('k');
  const stamp = near.beginRead();
  // The event of the write itself is here before its reply.
  near.take(changed(1, 'k', 12), 1);
  near.keep('k', hit('mine', 12), stamp, 0);
  expect(near.read('k', 1)).toMatchObject({ value: 'mine', version: 12 });
});

test('what this process wrote is not kept where it was overtaken, by itself or by somebody else', () => {
  const near = withCopies('k');
  near.forget('k');
  const first = near.beginRead();
  near.forget('k');
  const second = near.beginRead();
  near.keep('k', hit('first', 11), first, 0);
  expect(near.read('k', 1)).toBeUndefined();
  near.take(changed(1, 'k', 13), 1);
  near.keep('k', hit('second', 12), second, 0);
  expect(near.read('k', 1)).toBeUndefined();
});

describe('what is being written', () => {
  function writing(): { readonly near: NearCache; readonly value: () => unknown } {
    const near = withCopies('k');
    near.forget('k');
    near.beginWrite('k', 'mine', 0);
    return { near, value: () => near.read('k', 1)?.value };
  }

  test('is served to its own process at once, but not for long', () => {
    const { near, value } = writing();
    expect(value()).toBe('mine');
    expect(near.read('k', writingMsMax - 1)?.value).toBe('mine');
    expect(near.read('k', writingMsMax)).toBeUndefined();
  });

  test('is not served once the write has ended', () => {
    const near = withCopies('k');
    near.forget('k');
    const write = near.beginWrite('k', 'mine', 0);
    near.endWrite('k', write);
    expect(near.read('k', 1)).toBeUndefined();
  });

  test('is what was sent last, whichever write ends first', () => {
    const near = withCopies('k');
    near.forget('k');
    const first = near.beginWrite('k', 'first', 0);
    near.forget('k');
    const second = near.beginWrite('k', 'second', 0);
    near.endWrite('k', first);
    expect(near.read('k', 1)?.value).toBe('second');
    near.endWrite('k', second);
    expect(near.read('k', 1)).toBeUndefined();
  });

  test('is served no more once anything was heard that may concern it', () => {
    const { epoch } = changed(1, 'k', 0);
    for (const event of [
      changed(1, 'k', 5),
      { epoch, sequence: 1, clear: true as const, version: 5 },
      { epoch, sequence: 1, tags: ['t'], version: 5 },
    ]) {
      const { near, value } = writing();
      near.take(event, 1);
      expect(value()).toBeUndefined();
    }
    const { near, value } = writing();
    near.take(changed(1, 'other', 5), 1);
    expect(value()).toBe('mine');
  });

  test.each(['forget', 'forgetAll', 'forgetTags', 'keysMoved', 'suspectAll'] as const)(
    'is served no more after %s',
    (call) => {
      const { near, value } = writing();
      if (call === 'forget') near.forget('k');
      else if (call === 'forgetTags') near.forgetTags(['t']);
      else near[call]();
      expect(value()).toBeUndefined();
    },
  );

  test('is not served where nobody tells what changes', () => {
    const near = made();
    near.beginWrite('k', 'mine', 0);
    expect(near.read('k', 0)).toBeUndefined();
    const { near: silent } = writing();
    expect(silent.read('k', silenceMsMax + 1)).toBeUndefined();
  });
});

test('a reply that was under way while its key changed is not kept', () => {
  const near = withCopies();
  const stamp = near.beginRead();
  near.take(changed(1, 'k', 11), 1);
  near.keep('k', hit('old', 10), stamp, 0);
  expect(near.read('k', 1)).toBeUndefined();
  near.keep('k', hit('new', 11), stamp, 0);
  expect(near.read('k', 1)).toMatchObject({ value: 'new' });
});

test.each([
  ['a clear', { epoch: 'a', sequence: 1, clear: true as const, version: 11 }],
  ['a tag of it', { epoch: 'a', sequence: 1, tags: ['red'], version: 11 }],
])('a reply that was under way while %s removed its entry is not kept', (_, event) => {
  const near = withCopies();
  const stamp = near.beginRead();
  near.take(event, 1);
  near.keep('k', hit('old', 10, { tags: ['red'] }), stamp, 0);
  expect(near.read('k', 1)).toBeUndefined();
});

test('a tag removes the copies that have it and no others, and a clear removes what is older', () => {
  const near = withCopies('plain');
  near.keep('red', hit(1, 10, { tags: ['red', 'big'] }), near.beginRead(), 0);
  near.keep('blue', hit(1, 10, { tags: ['blue'] }), near.beginRead(), 0);
  near.keep('new', hit(1, 20, { tags: ['red'] }), near.beginRead(), 0);
  near.take({ epoch: 'a', sequence: 1, tags: ['red'], version: 15 }, 1);
  expect(['plain', 'red', 'blue', 'new'].filter((key) => near.read(key, 1) !== undefined)).toEqual([
    'plain',
    'blue',
    'new',
  ]);
  near.take({ epoch: 'a', sequence: 2, clear: true, version: 16 }, 1);
  expect(near.stats(1).entries).toBe(1);
});

test('what this process writes is gone at once, and what it read before is not kept after it', () => {
  const near = withCopies('k');
  const stamp = near.beginRead();
  near.forget('k');
  expect(near.read('k', 1)).toBeUndefined();
  near.keep('k', hit('before the write', 10), stamp, 0);
  // An event of an earlier change by somebody else does not make the old reply good again.
  near.take(changed(1, 'k', 10), 1);
  near.keep('k', hit('before the write', 10), stamp, 0);
  expect(near.read('k', 1)).toBeUndefined();
  near.keep('k', hit('after it', 12), near.beginRead(), 0);
  expect(near.read('k', 1)).toMatchObject({ value: 'after it' });
});

test('a hole in the sequence is a gap: nothing of that node is served until what was missed has come', () => {
  const near = withCopies('k', 'other');
  expect(near.take(changed(1, 'x', 11), 1)).toBeUndefined();
  expect(near.take(changed(3, 'y', 13), 1)).toEqual({ epoch: 'a', after: 1 });
  expect(near.read('k', 1)).toBeUndefined();
  near.close({ epoch: 'a', after: 1 }, { epoch: 'a', sequence: 3, events: [changed(2, 'k', 12)] }, 1);
  expect(near.read('k', 1)).toBeUndefined();
  expect(near.read('other', 1)).toMatchObject({ value: 'other1' });
  expect(near.stats(1)).toMatchObject({ gaps: 1, dropped: 0, invalidations: 1, live: true });
  expect(near.take(changed(4, 'z', 14), 1)).toBeUndefined();
});

test('a heartbeat shows that the last event was lost', () => {
  const near = withCopies('k');
  expect(near.take(heartbeat(0), 1)).toBeUndefined();
  expect(near.take(heartbeat(1), 2)).toEqual({ epoch: 'a', after: 0 });
});

test('when nobody has the missed events any more, the copies of that node go, and no others', () => {
  const epochOf = (key: string) => (key.startsWith('a') ? 'a' : 'b');
  const near = made(epochOf);
  near.learn({ epoch: 'a', sequence: 0 }, 0);
  near.learn({ epoch: 'b', sequence: 0 }, 0);
  for (const key of ['a1', 'b1']) near.keep(key, hit(key, 10), near.beginRead(), 0);
  near.take(heartbeat(9_000, 'a'), 1);
  expect([near.read('a1', 1), near.read('b1', 1)]).toEqual([
    undefined,
    expect.objectContaining({ value: 'b1' }),
  ]);
  near.close({ epoch: 'a', after: 0 }, { epoch: 'a', sequence: 9_000 }, 1);
  expect([near.read('a1', 1), near.read('b1', 1)]).toEqual([
    undefined,
    expect.objectContaining({ value: 'b1' }),
  ]);
  expect(near.stats(1)).toMatchObject({ dropped: 1, entries: 1 });
});

test('a gap that nobody answers stays open, and is asked for again', () => {
  const near = withCopies('k');
  const gap = near.take(heartbeat(2), 1);
  near.close(gap ?? { epoch: 'a', after: 0 }, undefined, 2);
  expect(near.read('k', 2)).toBeUndefined();
  expect(near.openGaps()).toEqual([{ epoch: 'a', after: 0 }]);
});

test('a node that is not heard for five seconds vouches for nothing, and then its copies go', () => {
  const near = withCopies('k');
  expect(near.read('k', silenceMsMax)).toBeDefined();
  expect(near.read('k', silenceMsMax + 1)).toBeUndefined();
  near.take(heartbeat(0), silenceMsMax + 2);
  expect(near.read('k', silenceMsMax + 2)).toBeDefined();
  near.prune(3 * silenceMsMax);
  expect(near.stats(0)).toMatchObject({ entries: 0, dropped: 1, live: false });
});

test('a new run of a node that has spoken before we heard it ends what was known', () => {
  const near = withCopies('k');
  near.take(changed(5, 'x', 50, 'b'), 1);
  expect(near.stats(1)).toMatchObject({ entries: 0, dropped: 1 });
});

test('a new run of a node whose first word we hear ends nothing, and its events count', () => {
  const near = withCopies('k', 'other');
  near.take(changed(1, 'k', 50, 'b'), 1);
  expect([near.read('k', 1), near.read('other', 1)?.value]).toEqual([undefined, 'other1']);
});

test('when another run answers for a gap, what the former one stood for goes', () => {
  const near = withCopies('k');
  const gap = near.take(heartbeat(3), 1);
  near.close(gap ?? { epoch: 'a', after: 0 }, { epoch: 'b', sequence: 7 }, 2);
  expect(near.stats(2)).toMatchObject({ entries: 0, live: true });
  near.keep('k', hit('k2', 60), near.beginRead(), 2);
  expect(near.take(changed(8, 'x', 70, 'b'), 3)).toBeUndefined();
  expect(near.read('k', 3)).toMatchObject({ value: 'k2' });
});

test('keys that moved to another node lose their copies, the others keep them', () => {
  let moved = false;
  const near = made((key) => (moved && key === 'k' ? 'b' : 'a'));
  near.learn({ epoch: 'a', sequence: 0 }, 0);
  for (const key of ['k', 'other']) near.keep(key, hit(key, 10), near.beginRead(), 0);
  moved = true;
  near.keysMoved();
  expect([near.read('k', 1), near.read('other', 1)?.value]).toEqual([undefined, 'other']);
});

test('a read that is under way is as good as a new one until something is heard that may concern its key', () => {
  const near = withCopies();
  const stamp = near.beginRead();
  near.take(changed(1, 'other', 11), 1);
  expect(near.isCurrent('k', stamp)).toBe(true);
  near.forget('k');
  expect(near.isCurrent('k', stamp)).toBe(false);
  const later = near.beginRead();
  expect(near.isCurrent('k', later)).toBe(true);
  near.forgetTags(['red']);
  expect(near.isCurrent('k', later)).toBe(false);
  const last = near.beginRead();
  near.forgetAll();
  expect(near.isCurrent('k', last)).toBe(false);
});

test('a copy of a key that is moving goes when the node that answered for it is gone with what it still told', () => {
  let owner = 'a';
  let isMoving = false;
  const near = new NearCache({
    entriesMax: 100,
    ttlMs: 60_000,
    epochOf: () => owner,
    isMoving: () => isMoving,
  });
  near.learn({ epoch: 'a', sequence: 0 }, 0);
  near.learn({ epoch: 'b', sequence: 0 }, 0);
  // The slot is to go from `a` to `b`; `a` answers for it still, and it is `a` who tells what happens to it.
  owner = 'b';
  isMoving = true;
  near.keysMoved();
  near.keep('k', hit('old', 10), near.beginRead(), 0);
  // `a` tells of a write (its event 1), which is lost on the way here, and leaves.
  isMoving = false;
  near.keysMoved();
  for (let at = 2_000; at <= 10_000; at += 2_000) {
    near.take(heartbeat(0, 'b'), at);
    near.prune(at);
  }
  expect(near.read('k', 10_000)).toBeUndefined();
});

test('what nobody has any more of one source costs no copies of another one', () => {
  const near = new NearCache({ entriesMax: 100, ttlMs: 60_000, epochOf: (key) => key });
  near.learn({ epoch: 'a', sequence: 0 }, 0);
  near.learn({ epoch: 'b', sequence: 3 }, 0);
  near.keep('b', hit(1, 10), near.beginRead(), 0);
  const gap = near.take(heartbeat(2, 'a'), 1);
  if (gap === undefined) throw new Error('no gap');
  // `a` is gone: another node answers for itself.
  near.close(gap, { epoch: 'b', sequence: 3 }, 2);
  expect(near.read('b', 2)).toBeDefined();
});

test('a copy that was read by a schema is not served to those without it, nor the other way round', () => {
  const near = withCopies('k');
  const schema = {};
  expect(near.read('k', 1, schema)).toBeUndefined();
  expect(near.read('k', 1)).toMatchObject({ value: 'k1' });
  near.keep('k', hit('made of k1', 10, { form: schema }), near.beginRead(), 0);
  expect(near.read('k', 1)).toBeUndefined();
  expect(near.read('k', 1, schema)).toMatchObject({ value: 'made of k1' });
  const values: unknown[] = [undefined];
  expect(near.readMany(['k'], values, { nowMs: 1, form: schema })).toEqual([]);
  expect(values).toEqual(['made of k1']);
});
