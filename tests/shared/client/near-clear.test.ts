import { expect, test } from 'vitest';
import { setImmediate as turn } from 'node:timers/promises';
import { CacheNamespace } from '#shared/client/cache.ts';
import type { CacheRouting } from '#shared/client/cache-routing.ts';
import { NearCache } from '#shared/client/near-cache.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';

test.each(['clear', 'invalidate-tags'])(
  'what was read while %s was under way is not served after it',
  async (operation) => {
    let isCleared = false;
    let clear = () => {};
    const ok = (value: object) => ({ data: Buffer.from(JSON.stringify(value)), headers: undefined });
    const request = async (subject: string) => {
      if (subject.endsWith('get'))
        return ok(isCleared ? { hit: false } : { hit: true, value: 'old', version: 10, tags: ['t'] });
      // The node that is asked asks the one that answers for the key, which was asked for it before.
      await new Promise<void>((resolve) => {
        clear = resolve;
      });
      isCleared = true;
      return ok({ cleared: 1, tags: 1 });
    };
    const routing = {
      subjectOf: (name: string) => `trivet.cache.n.${name}`,
      instead: () => undefined,
    } as unknown as CacheRouting;
    const near = new NearCache({ entriesMax: 10, ttlMs: 60_000, epochOf: () => undefined });
    near.learn({ epoch: 'a', sequence: 0 }, systemClock.monotonicMs());
    const nats = { connection: { request, info: {} } } as unknown as Nats;
    const cache = new CacheNamespace<string>(
      { nats, near },
      { subjects: {} as Subjects, namespace: 'n', routing },
    );
    const cleared = operation === 'clear' ? cache.clear() : cache.invalidateTags(['t']);
    expect(await cache.get('k')).toBe('old');
    await turn();
    clear();
    await cleared;
    // The event of the node that did it is lost, or takes another way.
    expect(await cache.get('k')).toBeUndefined();
  },
);
