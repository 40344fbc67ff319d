import { aText, expectEqual, expectLike } from './expectations.ts';
import {
  type ConformanceCase,
  becomes,
  fill,
  held,
  leased,
  listed,
  passing,
  refusal,
  take,
} from './target.ts';

const wrongState = refusal('wrong_state', 409);

/** What keepers of a queue ask. */
export const adminCases: readonly ConformanceCase[] = [
  {
    name: 'cancelling ends an item in every state that is not final, and twice is the same wish',
    run: async (target, queue) => {
      await fill(target, queue, [{ payload: 1 }, { payload: 2, delay: '1h' }]);
      for (const { id } of listed(await target.ask(queue, 'list'))) {
        for (const _ of ['once', 'twice'])
          expectEqual((await target.ask(queue, 'cancel', { id })).body, { id, state: 'cancelled' });
      }
      await fill(target, queue, [{ payload: 3 }]);
      const item = await take(target, queue);
      await target.ask(queue, 'complete', held(item));
      expectLike(await target.ask(queue, 'cancel', { id: item.id }), wrongState);
    },
  },
  {
    name: 'a paused queue takes in and hands nothing out; who waits is served when it is resumed',
    run: async (target, queue) => {
      expectEqual((await target.ask(queue, 'pause')).body, { queue, paused: true });
      await fill(target, queue, [{ payload: 1 }, { payload: 2 }]);
      expectEqual(leased(await target.ask(queue, 'dequeue')), []);
      const waiting = target.ask(queue, 'dequeue', { max: 10, wait: '10s' });
      await target.pass(20);
      expectLike(await target.ask(queue, 'stats'), { body: { paused: true, counts: { pending: 2 } } });
      expectEqual((await target.ask(queue, 'resume')).body, { queue, paused: false });
      expectEqual(leased(await passing(target, waiting)).length, 2);
    },
  },
  {
    name: 'failed items are listed, replayed one or many with all their attempts, and purged',
    run: async (target, queue) => {
      await fill(
        target,
        queue,
        [1, 2, 3].map((payload) => ({ payload, maxAttempts: 1 })),
      );
      const items = leased(await target.ask(queue, 'dequeue', { max: 3 }));
      for (const item of items)
        await target.ask(queue, 'fail', { ...held(item), error: { message: 'no', type: 'Meant' } });
      expectEqual(listed(await target.ask(queue, 'list', { state: 'failed' })).length, 3);
      const id = items[0]?.id;
      expectEqual((await target.ask(queue, 'replay', { id })).body, { id, state: 'pending' });
      expectLike(await target.ask(queue, 'replay', { id }), wrongState);
      const one = { state: 'failed', limit: 1 };
      expectLike((await target.ask(queue, 'replay', one)).body, { count: 1 });
      const again = leased(await target.ask(queue, 'dequeue', { max: 3 }));
      expectEqual(
        again.map((item) => item.attempt),
        [1, 1],
      );
      expectLike((await target.ask(queue, 'purge', { state: 'failed' })).body, { count: 1, more: false });
      expectEqual(listed(await target.ask(queue, 'list', { state: 'failed' })), []);
    },
  },
  {
    name: 'reprioritize moves a waiting item, and refuses one that runs or has ended',
    run: async (target, queue) => {
      const [, id] = await fill(target, queue, [{ payload: 1 }, { payload: 2 }]);
      expectEqual((await target.ask(queue, 'reprioritize', { id, priority: 'critical' })).body, {
        id,
        priority: 'critical',
      });
      const item = await take(target, queue);
      expectEqual(item.id, id);
      expectLike(await target.ask(queue, 'reprioritize', { id, priority: 'low' }), wrongState);
      await target.ask(queue, 'complete', held(item));
      expectLike(await target.ask(queue, 'reprioritize', { id, priority: 'low' }), wrongState);
    },
  },
  {
    name: 'update edits an item that waits, and brings it forward',
    run: async (target, queue) => {
      const [id] = await fill(target, queue, [{ payload: 'old', delay: '1h' }]);
      const updated = await target.ask(queue, 'update', { id, payload: 'new', delay: 0, maxAttempts: 9 });
      expectEqual(updated.body, { id, state: 'pending' });
      expectLike(await take(target, queue), { id, payload: 'new', maxAttempts: 9 });
      expectLike(await target.ask(queue, 'update', { id, payload: 'late' }), wrongState);
    },
  },
  {
    name: 'a list is read page by page, and neither skips nor repeats while items come and go',
    run: async (target, queue) => {
      const before = await fill(
        target,
        queue,
        Array.from({ length: 45 }, (_, n) => ({ payload: n })),
      );
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const query = { state: 'pending', limit: 10, ...(cursor === undefined ? {} : { cursor }) };
        const page = await target.ask(queue, 'list', query);
        seen.push(...listed(page).map(({ id }) => id));
        ({ cursor } = page.body as { cursor?: string });
        await target.ask(queue, 'complete', held(await take(target, queue)));
        if (seen.length < 20) await fill(target, queue, [{ payload: 'more' }]);
      } while (cursor !== undefined);
      expectEqual(new Set(seen).size, seen.length);
      expectEqual(seen.slice(0, 45), before);
    },
  },
  {
    name: 'a list can be narrowed by state, priority, group, key and text',
    run: async (target, queue) => {
      await fill(target, queue, [
        { payload: { name: 'ada' }, group: 'g1', priority: 'high' },
        { payload: { name: 'bob' }, group: 'g1', key: 'k' },
        { payload: { name: 'cleo' }, delay: '1h' },
      ]);
      const names = async (query: object) =>
        listed(await target.ask(queue, 'list', query)).map(
          ({ payload }) => (payload as { name: string }).name,
        );
      expectEqual(await names({ group: 'g1' }), ['ada', 'bob']);
      expectEqual(await names({ priority: 'high' }), ['ada']);
      expectEqual(await names({ state: 'scheduled' }), ['cleo']);
      expectEqual(await names({ key: 'k' }), ['bob']);
      expectEqual(await names({ q: 'BOB' }), ['bob']);
      expectEqual(await names({ q: 'nobody' }), []);
    },
  },
  {
    name: 'the figures add up to what was done',
    run: async (target, queue) => {
      await fill(
        target,
        queue,
        Array.from({ length: 10 }, (_, n) => ({ payload: n, priority: 'low' })),
      );
      await fill(target, queue, [
        { payload: 1, delay: '1h' },
        { payload: 2, delay: '1h' },
      ]);
      const [a, b, c] = leased(await target.ask(queue, 'dequeue', { max: 5 }));
      const error = { message: 'no', type: 'Meant' };
      await target.ask(queue, 'complete', held(a));
      await target.ask(queue, 'fail', { ...held(b), error, retry: false });
      await target.ask(queue, 'fail', { ...held(c), error, delay: '1h' });
      expectLike(await target.ask(queue, 'stats'), {
        body: {
          queue,
          paused: false,
          counts: { scheduled: 2, pending: 5, processing: 2, retry: 1, done: 1, failed: 1, cancelled: 0 },
          byPriority: { critical: 0, high: 0, normal: 2, low: 8 },
          leases: 2,
          failuresByType: { Meant: 2 },
        },
      });
    },
  },
  {
    name: 'live events tell of every change of state, and never of a payload',
    run: async (target, queue) => {
      const listening = await target.listen(queue);
      const [id] = await fill(target, queue, [{ payload: { secret: 'payload' } }]);
      const item = await take(target, queue);
      await target.ask(queue, 'complete', { ...held(item), result: { secret: 'result' } });
      const done = { body: { state: 'done' } };
      await becomes(target, () => target.ask(queue, 'get', { id }), done);
      await target.pass(50);
      listening.end();
      expectEqual(
        listening.heard.map(({ state }) => state),
        ['pending', 'processing', 'done'],
      );
      for (const { events } of listening.heard) {
        expectLike(events, [{ id, priority: 'normal', attempt: Number.isInteger, at: aText }]);
        expectEqual(Object.keys(events[0] ?? {}).toSorted(), ['at', 'attempt', 'id', 'priority']);
      }
    },
  },
  {
    name: 'workers log lines for their items, and are known by their names',
    run: async (target, queue) => {
      await fill(target, queue, [{ payload: 1 }]);
      const item = await take(target, queue, { worker: 'w-1' });
      const logged = await target.ask(queue, 'log', { ...held(item), lines: ['begun', 'half done'] });
      expectEqual(logged.body, { id: item.id, count: 2 });
      expectLike((await target.ask(queue, 'logs', { id: item.id, after: 1 })).body, {
        count: 2,
        lines: [{ number: 2, attempt: 1, line: 'half done' }],
      });
      expectLike((await target.ask(queue, 'workers', {})).body, {
        workers: [{ worker: 'w-1', items: [{ id: item.id, attempt: 1 }] }],
      });
    },
  },
];
