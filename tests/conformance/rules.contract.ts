import { aText, expectEqual, expectLike } from './expectations.ts';
import { type ConformanceCase, becomes, fill, held, leased, refusal, take } from './target.ts';

/** Keys, settings, flows, and what is refused. */
export const ruleCases: readonly ConformanceCase[] = [
  {
    name: 'one key is one item, and a bad item among many refuses only itself',
    run: async (target, queue) => {
      const key = { 'Nats-Msg-Id': 'order-7' };
      const first = await target.ask(queue, 'enqueue', 1, key);
      const again = await target.ask(queue, 'enqueue', 2, key);
      expectEqual(again.body, { ...(first.body as object), duplicate: true });
      const items = [
        { payload: 1, key: 'order-7' },
        { payload: 2, priority: 'urgent' },
        { payload: null, delay: '1h' },
      ];
      expectLike((await target.ask(queue, 'enqueue-many', { items })).body, {
        items: [
          { id: (first.body as { id: string }).id, state: 'pending', duplicate: true },
          { error: { code: 'invalid_request', details: { field: 'items[1].priority' } } },
          { id: aText, state: 'scheduled', duplicate: false },
        ],
      });
    },
  },
  {
    name: 'replace changes the item that waits, debounce begins its delay anew',
    run: async (target, queue) => {
      const [id] = await fill(target, queue, [{ payload: 'first', key: 'k' }]);
      const replaced = { items: [{ payload: 'second', key: 'k', onDuplicate: 'replace' }] };
      expectLike((await target.ask(queue, 'enqueue-many', replaced)).body, {
        items: [{ id, duplicate: true, replaced: true }],
      });
      const debounced = { items: [{ payload: 'third', key: 'k', onDuplicate: 'debounce', delay: '200ms' }] };
      expectLike((await target.ask(queue, 'enqueue-many', debounced)).body, {
        items: [{ id, state: 'scheduled', replaced: true }],
      });
      expectEqual(leased(await target.ask(queue, 'dequeue')), []);
      expectLike(await take(target, queue), { id, payload: 'third' });
    },
  },
  {
    name: 'configure sets what it names, null is the default again, and describe tells all',
    run: async (target, queue) => {
      const set = { maxAttempts: 2, ordering: 'weighted', concurrency: { total: 4 } };
      expectLike((await target.ask(queue, 'configure', set)).body, { queue, paused: false, settings: set });
      await target.ask(queue, 'configure', { maxAttempts: null });
      expectLike((await target.ask(queue, 'describe')).body, {
        settings: { ...set, maxAttempts: 5, dedupWindow: 86_400_000 },
      });
    },
  },
  {
    name: 'a full queue takes nothing more, and a batch that would pass its size is refused whole',
    run: async (target, queue) => {
      await target.ask(queue, 'configure', { maxSize: 2 });
      await fill(target, queue, [{ payload: 1 }]);
      const two = { items: [{ payload: 2 }, { payload: 3 }] };
      expectLike(await target.ask(queue, 'enqueue-many', two), refusal('queue_full', 429));
      await fill(target, queue, [{ payload: 2 }]);
      expectLike(await target.ask(queue, 'enqueue', 3), refusal('queue_full', 429));
      await target.ask(queue, 'complete', held(await take(target, queue)));
      expectLike(await target.ask(queue, 'enqueue', 3), { status: 0 });
    },
  },
  {
    name: 'no more leases at once than the queue and each group allow',
    run: async (target, queue) => {
      await target.ask(queue, 'configure', { concurrency: { total: 3, perGroup: 1 } });
      const groups = ['a', 'a', 'b', 'b', 'c', 'd'];
      await fill(
        target,
        queue,
        groups.map((group) => ({ payload: group, group })),
      );
      const first = leased(await target.ask(queue, 'dequeue', { max: 10 }));
      expectEqual(new Set(first.map(({ payload }) => payload)), new Set(['a', 'b', 'c']));
      expectEqual(first.length, 3);
      expectEqual(leased(await target.ask(queue, 'dequeue', { max: 10 })), []);
      await target.ask(queue, 'complete', held(first[0]));
      expectEqual(leased(await target.ask(queue, 'dequeue', { max: 10 })).length, 1);
    },
  },
  {
    name: 'no more claims in any window than the rate allows',
    run: async (target, queue) => {
      await target.ask(queue, 'configure', { rateLimit: { total: { count: 2, per: '1s' } } });
      await fill(
        target,
        queue,
        [1, 2, 3].map((payload) => ({ payload })),
      );
      expectEqual(leased(await target.ask(queue, 'dequeue', { max: 10 })).length, 2);
      expectLike(await take(target, queue), { payload: 3 });
      const { body } = await target.ask(queue, 'list');
      const { items } = body as { items: { startedAt: string }[] };
      const [first = 0, , third = 0] = items.map(({ startedAt }) => Date.parse(startedAt));
      expectLike(third - first, (ms: number) => ms >= 1_000);
    },
  },
  {
    name: 'a parent runs when its children are done, and sees what they left',
    run: async (target, queue) => {
      const children = [1, 2].map((payload) => ({ queue: `${queue}-parts`, payload }));
      const made = await target.ask(queue, 'enqueue-flow', { payload: 'whole', children });
      expectLike(made, { status: 0, body: { id: aText, queue, state: 'blocked', children: 2 } });
      const { id } = made.body as { id: string };
      expectEqual(leased(await target.ask(queue, 'dequeue')), []);
      for (const _ of children) {
        const child = await take(target, `${queue}-parts`);
        await target.ask(`${queue}-parts`, 'complete', { ...held(child), result: child.payload });
      }
      expectLike(await take(target, queue), { id, payload: 'whole' });
      const left = (await target.ask(queue, 'children', { id })).body as { items: { result: number }[] };
      expectEqual(
        left.items.map(({ result }) => result).toSorted((a, b) => a - b),
        [1, 2],
      );
    },
  },
  {
    name: 'a child that has failed fails its parent',
    run: async (target, queue) => {
      const children = [{ queue: `${queue}-parts`, payload: 1 }];
      const made = await target.ask(queue, 'enqueue-flow', { payload: 0, children });
      const { id } = made.body as { id: string };
      const child = await take(target, `${queue}-parts`);
      const failed = { ...held(child), error: { message: 'no' }, retry: false };
      await target.ask(`${queue}-parts`, 'fail', failed);
      await becomes(target, () => target.ask(queue, 'get', { id }), { body: { state: 'failed' } });
    },
  },
  {
    name: 'what is unknown is not found, whatever is asked of it',
    run: async (target, queue) => {
      const notFound = refusal('not_found', 404);
      const unknown = { id: '0-zzzz', token: 1 };
      await fill(target, queue, [{ payload: 1 }]);
      for (const [operation, more] of [
        ['complete', {}],
        ['fail', { error: { message: '' } }],
        ['extend', { lease: '1m' }],
        ['release', {}],
      ] as const)
        expectLike(await target.ask(queue, operation, { ...unknown, ...more }), notFound);
      for (const operation of ['get', 'cancel', 'replay', 'result', 'children', 'logs'])
        expectLike(await target.ask(queue, operation, { id: unknown.id }), notFound);
      expectEqual((await target.ask(`${queue}-other`, 'dequeue')).body, { items: [] });
    },
  },
  {
    name: 'bad input is refused by the name of its field',
    run: async (target, queue) => {
      const bad = (field: string) => refusal('invalid_request', 400, field);
      expectLike(await target.ask(queue, 'dequeue', { max: 0 }), bad('max'));
      expectLike(await target.ask(queue, 'dequeue', { wait: 'soon' }), bad('wait'));
      expectLike(await target.ask(queue, 'dequeue', { maximum: 1 }), bad('maximum'));
      expectLike(
        await target.ask(queue, 'enqueue', 1, { 'Trivet-Priority': 'urgent' }),
        bad('Trivet-Priority'),
      );
      // A token opens operations one by one: there it is NATS that refuses what is none.
      if (!target.needsToken) expectLike(await target.ask(queue, 'sing'), bad('operation'));
      expectLike(await target.ask('not*a*name', 'stats'), bad('queue'));
      expectLike(
        await target.send(queue, 'get', '<id/>', { 'Content-Type': 'text/xml' }),
        bad('Content-Type'),
      );
      expectLike(await target.send(queue, 'get', '{"id":'), refusal('invalid_request', 400));
      const large = await target.send(queue, 'enqueue', new Uint8Array(1_048_577));
      expectLike(large, refusal('payload_too_large', 413));
    },
  },
  {
    name: 'a purged queue is as if it had never been',
    run: async (target, queue) => {
      await target.ask(queue, 'configure', { maxAttempts: 2 });
      await fill(target, queue, [
        { payload: 1, key: 'k' },
        { payload: 2, delay: '1h' },
      ]);
      await take(target, queue);
      expectLike((await target.ask(queue, 'purge', { all: true })).body, { count: 2, more: false });
      expectEqual(leased(await target.ask(queue, 'dequeue')), []);
      expectLike((await target.ask(queue, 'describe')).body, { settings: { maxAttempts: 5 } });
      expectLike(await target.ask(queue, 'enqueue', 1, { 'Nats-Msg-Id': 'k' }), {
        body: { duplicate: false },
      });
    },
  },
];
