import { pack, unpack } from 'msgpackr';
import { aText, aTime, absent, expectEqual, expectLike } from './expectations.ts';
import { type ConformanceCase, fill, held, leased, refusal, take } from './target.ts';

const leaseLost = refusal('lease_lost', 409);
const wrongState = refusal('wrong_state', 409);

/** From enqueue to the end, and what is said about leased items. */
export const lifecycleCases: readonly ConformanceCase[] = [
  {
    name: 'an item goes from enqueue over dequeue to complete',
    run: async (target, queue) => {
      const enqueued = await target.ask(queue, 'enqueue', { to: 'ada' }, { 'Trivet-Priority': 'high' });
      expectLike(enqueued, {
        status: 0,
        body: { id: aText, queue, state: 'pending', priority: 'high', duplicate: false },
      });
      const item = await take(target, queue, { worker: 'w-1' });
      expectLike(item, {
        id: (enqueued.body as { id: string }).id,
        queue,
        priority: 'high',
        state: 'processing',
        attempt: 1,
        maxAttempts: 5,
        leaseExpiresAt: aTime,
        enqueuedAt: aTime,
        payload: { to: 'ada' },
      });
      const done = await target.ask(queue, 'complete', { ...held(item), result: { sent: true } });
      expectEqual(done.body, { id: item.id, state: 'done' });
      expectLike(await target.ask(queue, 'get', { id: item.id }), {
        body: {
          state: 'done',
          attempts: [{ attempt: 1, worker: 'w-1', startedAt: aTime, endedAt: aTime }],
          result: { sent: true },
          payload: { to: 'ada' },
          transitions: [
            { from: null, to: 'pending', why: 'enqueued' },
            { from: 'pending', to: 'processing', why: 'claimed' },
            { from: 'processing', to: 'done', why: 'completed' },
          ],
        },
      });
    },
  },
  {
    name: 'a repeated complete, fail or release gives the first answer, any other word has lost the lease',
    run: async (target, queue) => {
      await fill(target, queue, [{ payload: 1 }, { payload: 2 }, { payload: 3 }]);
      const [a, b, c] = leased(await target.ask(queue, 'dequeue', { max: 3 }));
      const error = { message: 'no', type: 'Meant' };
      const requests = [
        ['complete', { ...held(a), result: 1 }, { state: 'done' }],
        ['fail', { ...held(b), error, delay: '1h' }, { state: 'retry', attempt: 1, nextAttemptAt: aTime }],
        ['release', held(c), { state: 'pending' }],
      ] as const;
      for (const [operation, body, answer] of requests) {
        const first = await target.ask(queue, operation, body);
        expectLike(first.body, { id: body.id, ...answer });
        expectEqual(await target.ask(queue, operation, body), first);
        for (const other of ['complete', 'release'].filter((word) => word !== operation))
          expectLike(await target.ask(queue, other, { id: body.id, token: body.token }), leaseLost);
      }
      const next = await take(target, queue);
      expectLike(next, { id: c?.id, attempt: 1, token: (token: number) => token > (c?.token ?? 0) });
      expectLike(await target.ask(queue, 'complete', held(c)), leaseLost);
    },
  },
  {
    name: 'a batch on leased items answers each in order, and fetches the next ones in the same trip',
    run: async (target, queue) => {
      await fill(
        target,
        queue,
        [0, 1, 2, 3].map((payload) => ({ payload })),
      );
      const [a, b] = leased(await target.ask(queue, 'dequeue', { max: 2 }));
      const reply = await target.ask(queue, 'complete', {
        items: [held(a), { id: a?.id, token: 1_000_000 }, { id: '0-zzzz', token: 1 }, { token: 1 }],
        fetch: { max: 5, lease: '1m' },
      });
      expectLike(reply.body, {
        items: [
          { id: a?.id, state: 'done' },
          { error: { code: 'lease_lost' } },
          { error: { code: 'not_found' } },
          { error: { code: 'invalid_request', details: { field: 'items[3].id' } } },
        ],
        next: [{ payload: 2 }, { payload: 3 }],
      });
      const failed = { ...held(b), error: { message: 'no' }, retry: false, fetch: { max: 1 } };
      expectEqual((await target.ask(queue, 'fail', failed)).body, {
        id: b?.id,
        state: 'failed',
        attempt: 1,
        next: [],
      });
    },
  },
  {
    name: 'extend prolongs the lease, keeps progress, and tells of a cancellation',
    run: async (target, queue) => {
      await fill(target, queue, [{ payload: 1 }]);
      const item = await take(target, queue, { lease: '5s' });
      const extended = await target.ask(queue, 'extend', {
        ...held(item),
        lease: '10m',
        progress: { done: 3 },
      });
      expectLike(extended.body, {
        id: item.id,
        cancelled: false,
        leaseExpiresAt: (at: string) => Date.parse(at) - Date.parse(item.leaseExpiresAt) > 500_000,
      });
      expectLike(await target.ask(queue, 'get', { id: item.id }), { body: { progress: { done: 3 } } });
      expectEqual((await target.ask(queue, 'cancel', { id: item.id })).body, {
        id: item.id,
        state: 'cancelled',
      });
      const told = await target.ask(queue, 'extend', { ...held(item), lease: '1m' });
      expectLike(told, { status: 0, body: { cancelled: true } });
      expectLike(await target.ask(queue, 'complete', held(item)), wrongState);
      expectLike(await target.ask(queue, 'fail', { ...held(item), error: { message: '' } }), wrongState);
    },
  },
  {
    name: 'a dequeue with the same Nats-Msg-Id gets the same live claim again',
    run: async (target, queue) => {
      await fill(target, queue, [{ payload: 1 }, { payload: 2 }, { payload: 3 }]);
      const claim = { 'Nats-Msg-Id': 'claim-1' };
      const first = leased(await target.ask(queue, 'dequeue', { max: 2 }, claim));
      expectEqual(first.length, 2);
      expectEqual(leased(await target.ask(queue, 'dequeue', { max: 2 }, claim)), first);
      await target.ask(queue, 'complete', held(first[0]));
      expectEqual(leased(await target.ask(queue, 'dequeue', { max: 2 }, claim)), [first[1]]);
    },
  },
  {
    name: 'priorities go before one another, and each is first in, first out',
    run: async (target, queue) => {
      const priorities = ['low', 'normal', 'critical', 'high', 'low', 'critical', 'normal', 'high'];
      await fill(
        target,
        queue,
        priorities.map((priority, payload) => ({ payload, priority })),
      );
      const handed = leased(await target.ask(queue, 'dequeue', { max: 100 }));
      expectEqual(
        handed.map((item) => item.payload),
        [2, 5, 3, 7, 1, 6, 0, 4],
      );
    },
  },
  {
    name: 'MessagePack carries bytes both ways, and mixes with JSON',
    run: async (target, queue) => {
      const bytes = new Uint8Array([0, 255, 128]);
      expectLike(
        await target.askPacked(queue, 'enqueue-many', { items: [{ payload: bytes }, { payload: { n: 1 } }] }),
        { contentType: 'application/msgpack', body: { items: [{ state: 'pending' }, { state: 'pending' }] } },
      );
      await target.ask(queue, 'enqueue', { text: 'json' });
      const [raw, value, json] = leased(await target.askPacked(queue, 'dequeue', { max: 3 }));
      expectEqual(Buffer.from(raw?.payload as Uint8Array), Buffer.from(bytes));
      expectEqual([value?.payload, json?.payload], [{ n: 1 }, { text: 'json' }]);
      expectLike(await target.ask(queue, 'get', { id: raw?.id }), {
        body: { payloadBase64: Buffer.from(bytes).toString('base64'), payload: absent },
      });
    },
  },
  {
    name: 'enqueue takes a body of any content type, and Accept chooses its reply',
    run: async (target, queue) => {
      const text = { 'Content-Type': 'text/plain; charset=utf-8', Accept: 'application/msgpack' };
      const reply = await target.send(queue, 'enqueue', 'plain words', text);
      expectLike(reply, { status: 0, contentType: 'application/msgpack' });
      expectLike(await take(target, queue), {
        contentType: 'text/plain; charset=utf-8',
        payloadBase64: Buffer.from('plain words').toString('base64'),
      });
      await target.send(queue, 'enqueue', pack({ n: 1 }), { 'Content-Type': 'application/msgpack' });
      const item = await take(target, queue);
      expectEqual(unpack(Buffer.from(item.payloadBase64 ?? '', 'base64')), { n: 1 });
    },
  },
  {
    name: 'trace context and other headers are carried from the producer to the worker',
    run: async (target, queue) => {
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      const values = { traceparent, tracestate: 'vendor=1', 'X-Tenant': 'acme' };
      await target.ask(queue, 'enqueue', 1, values);
      await fill(target, queue, [{ payload: 2, headers: values }]);
      const items = leased(await target.ask(queue, 'dequeue', { max: 2 })) as readonly { headers?: object }[];
      expectEqual(
        items.map((item) => item.headers),
        [values, values],
      );
    },
  },
];
