import { expect, test } from 'vitest';
import { CacheFill } from '#shared/client/cache-fill.ts';
import type { LoadReply } from '#shared/protocol/cache-schemas.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { systemClock } from '#shared/runtime/clock.ts';

/** One key at one node, as far as filling goes: a deletion voids the right. */
function madeCache(loadOf?: () => Result<LoadReply>) {
  let cached: string | undefined;
  let right = 0;
  const fill = new CacheFill<string>({
    clock: systemClock,
    read: () => Promise.resolve({ value: cached, stale: false }),
    load: () =>
      Promise.resolve(loadOf?.() ?? (accept({ hit: false, loadToken: (right += 1) }) as Result<LoadReply>)),
    loadFailed: () => Promise.resolve(),
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
  const { fill, remove, cached } = madeCache(() =>
    refuse('timeout', 'nobody filled the key within the wait'),
  );
  const { first, open } = await beginSlowly(fill);
  remove();
  open();
  expect(await first).toBe('old');
  expect(cached()).toBeUndefined();
});
