import { expect, test } from 'vitest';
import { CacheFill, type Found } from '#shared/client/cache-fill.ts';
import type { LoadReply } from '#shared/protocol/cache-schemas.ts';
import { type Result, TrivetError, accept, refuse } from '#shared/protocol/errors.ts';
import { type Clock, systemClock } from '#shared/runtime/clock.ts';

interface MadeOptions {
  readonly loadOf?: () => Result<LoadReply>;
  readonly read?: () => Promise<Found<string>>;
  readonly clock?: Clock;
}

/** One key at one node, as far as filling goes: a deletion voids the right. */
function madeCache({ loadOf, read, clock = systemClock }: MadeOptions = {}) {
  let cached: string | undefined;
  let right = 0;
  const fill = new CacheFill<string>({
    clock,
    read: read ?? (() => Promise.resolve({ value: cached, stale: false })),
    load: () =>
      Promise.resolve(loadOf?.() ?? (accept({ hit: false, loadToken: (right += 1) }) as Result<LoadReply>)),
    loadFailed: () => Promise.resolve(),
    remove: () => Promise.resolve(),
    set: (_key, value, { loadToken }) => {
      if (loadToken === undefined || loadToken === right) cached = value;
      return Promise.resolve();
    },
    valueOf: (value) => value as string,
    failed: () => {},
  });
  const remove = () => {
    cached = undefined;
    right += 1;
  };
  return { fill, remove, cached: () => cached };
}

/** Begins to fill from a source that has something new by now, and is not done before `open` is called. */
async function beginSlowly(fill: CacheFill<string>) {
  let value = 'old';
  const gate = Promise.withResolvers<void>();
  const read = async () => {
    const found = value;
    await gate.promise;
    return found;
  };
  const first = fill.getOrSet('k', read, {});
  await new Promise((resolve) => setImmediate(resolve));
  value = 'new';
  return { source: () => value, first, open: gate.resolve };
}

test('who asks after a change of this process does not get what was read from the source before it', async () => {
  const { fill, remove } = madeCache();
  const { source, first, open } = await beginSlowly(fill);
  remove();
  fill.forget('k');
  const second = fill.getOrSet('k', source, {});
  open();
  expect(await first).toBe('old');
  expect(await second).toBe('new');
});

test('what was read without a right is not set: a deletion since then could not void it', async () => {
  const { fill, remove, cached } = madeCache({
    loadOf: () => refuse('timeout', 'nobody filled the key within the wait'),
  });
  const { first, open } = await beginSlowly(fill);
  remove();
  open();
  expect(await first).toBe('old');
  expect(cached()).toBeUndefined();
});

test('a cache that does not answer a read is not asked for the right as well: the source is', async () => {
  let asked = 0;
  const { fill } = madeCache({
    read: () => Promise.reject(new TrivetError({ code: 'timeout', message: 'no reply' })),
    loadOf: () => {
      asked += 1;
      return refuse('timeout', 'no reply');
    },
  });
  expect(await fill.getOrSet('k', () => 'from the source', {})).toBe('from the source');
  expect(asked).toBe(0);
});

test('a soft time-out that was not needed leaves no timer behind, which would keep the process alive', async () => {
  let timers = 0;
  const after: Clock['after'] = (delayMs, action) => {
    timers += 1;
    const cancel = systemClock.after(delayMs, action);
    return () => {
      timers -= 1;
      cancel();
    };
  };
  const { fill } = madeCache({
    read: () => Promise.resolve({ value: 'old', stale: true }),
    loadOf: () => accept({ hit: true, value: 'old', stale: true, version: 1, loadToken: 1 }),
    clock: { ...systemClock, after },
  });
  expect(await fill.getOrSet('k', () => 'new', { softTimeout: '1h' })).toBe('new');
  expect(timers).toBe(0);
});
