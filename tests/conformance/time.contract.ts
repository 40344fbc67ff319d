import { expectEqual, expectLike } from './expectations.ts';
import {
  type ConformanceCase,
  type Shown,
  type Target,
  becomes,
  fill,
  held,
  leased,
  listed,
  passing,
  refusal,
  take,
} from './target.ts';

const shown = async (target: Target, queue: string, id: string): Promise<Shown> =>
  (await target.ask(queue, 'get', { id })).body as Shown;

const between = (from: string | undefined, to: string | undefined): number =>
  Date.parse(to ?? '') - Date.parse(from ?? '');

/** What comes with time. Every figure is one of the target's own, so that a slow machine is not a fault. */
export const timeCases: readonly ConformanceCase[] = [
  {
    name: 'a delayed item is handed out when it is due, and never before',
    run: async (target, queue) => {
      const delays = [300, 600, 450, 10];
      await fill(
        target,
        queue,
        delays.map((delay, payload) => ({ payload, delay })),
      );
      const order: unknown[] = [];
      for (const _ of delays) {
        const item = await take(target, queue);
        const { enqueuedAt, startedAt, payload } = await shown(target, queue, item.id);
        const waitedMs = between(enqueuedAt, startedAt);
        expectLike(waitedMs, (ms: number) => ms >= (delays[Number(payload)] ?? 0));
        order.push(payload);
      }
      expectEqual(order, [3, 0, 2, 1]);
    },
  },
  {
    name: 'a failed attempt is retried after its back-off, until the attempts are used up',
    run: async (target, queue) => {
      const values = { 'Trivet-Backoff': 'fixed:120ms', 'Trivet-Max-Attempts': '3' };
      await target.ask(queue, 'enqueue', 1, values);
      for (const attempt of [1, 2, 3]) {
        const item = await take(target, queue);
        expectEqual(item.attempt, attempt);
        const failed = { ...held(item), error: { message: `no ${attempt}` } };
        expectLike((await target.ask(queue, 'fail', failed)).body, {
          state: attempt < 3 ? 'retry' : 'failed',
          attempt,
        });
      }
      const [item] = listed(await target.ask(queue, 'list', { state: 'failed' }));
      expectLike(item, { attempts: [1, 2, 3].map((n) => ({ error: { message: `no ${n}` } })) });
      const due = item?.transitions.filter(({ why, to }) => why === 'due' && to === 'pending') ?? [];
      const fails = item?.transitions.filter(({ why }) => why === 'failed') ?? [];
      for (const [n, { at }] of due.entries())
        expectLike(between(fails[n]?.at, at), (ms: number) => ms >= 120);
    },
  },
  {
    name: 'an expired lease charges the attempt, and the last one fails the item',
    run: async (target, queue) => {
      await target.ask(queue, 'enqueue', 1, { 'Trivet-Max-Attempts': '2' });
      const first = await take(target, queue, { lease: '150ms' });
      const second = await take(target, queue, { lease: '150ms' });
      expectLike(second, { id: first.id, attempt: 2, token: (token: number) => token > first.token });
      for (const operation of ['complete', 'release'])
        expectLike(await target.ask(queue, operation, held(first)), refusal('lease_lost', 409));
      const failed = { body: { state: 'failed' } };
      expectLike(await becomes(target, () => target.ask(queue, 'get', { id: first.id }), failed), {
        body: { attempts: [{ error: { type: 'lease_expired' } }, { error: { type: 'lease_expired' } }] },
      });
    },
  },
  {
    name: 'an extended lease lasts, an attempt beyond its time-out does not',
    run: async (target, queue) => {
      await target.ask(queue, 'enqueue', 1, { 'Trivet-Timeout': '600ms', 'Trivet-Max-Attempts': '1' });
      const item = await take(target, queue, { lease: '5s' });
      await target.ask(queue, 'extend', { ...held(item), lease: '1m' });
      const failed = { body: { state: 'failed', attempts: [{ error: { type: 'timeout' } }] } };
      const reply = await becomes(target, () => target.ask(queue, 'get', { id: item.id }), failed);
      const [claimed, ended] = (reply.body as Shown).transitions.slice(-2);
      expectLike(between(claimed?.at, ended?.at), (ms: number) => ms >= 600);
    },
  },
  {
    name: 'a waiting item that grew too old is never handed out',
    run: async (target, queue) => {
      await fill(target, queue, [
        { payload: 1, expires: '50ms' },
        { payload: 2, expires: '50ms', delay: '10s' },
      ]);
      await becomes(target, () => target.ask(queue, 'stats'), {
        body: { counts: { pending: 0, scheduled: 0, failed: 2 } },
      });
      expectEqual(leased(await target.ask(queue, 'dequeue')), []);
    },
  },
  {
    name: 'a dequeue that waits is served as soon as something comes, or gets an empty list',
    run: async (target, queue) => {
      const waiting = target.ask(queue, 'dequeue', { wait: '10s' });
      await target.pass(20);
      await target.ask(queue, 'enqueue', 'at last');
      expectLike(leased(await passing(target, waiting)), [{ payload: 'at last' }]);
      expectEqual(leased(await passing(target, target.ask(queue, 'dequeue', { wait: '100ms' }))), []);
    },
  },
  {
    name: 'an item that is handed back for a while comes back after it, uncharged',
    run: async (target, queue) => {
      await fill(target, queue, [{ payload: 1, maxAttempts: 1 }]);
      const first = await take(target, queue);
      const released = await target.ask(queue, 'release', { ...held(first), delay: '300ms' });
      expectEqual(released.body, { id: first.id, state: 'scheduled' });
      const again = await take(target, queue);
      expectLike(again, { id: first.id, attempt: 1 });
      const { transitions } = await shown(target, queue, again.id);
      const [back, ready] = transitions.slice(-3);
      expectLike(between(back?.at, ready?.at), (ms: number) => ms >= 300);
    },
  },
  {
    name: 'a result is waited for until the item is final, or until the wait is over',
    run: async (target, queue) => {
      const [id = ''] = await fill(target, queue, [{ payload: 1 }]);
      const soon = await passing(target, target.ask(queue, 'result', { id, wait: '50ms' }));
      expectLike(soon.body, { id, state: 'pending' });
      const waiting = target.ask(queue, 'result', { id, wait: '10s' });
      await target.ask(queue, 'complete', { ...held(await take(target, queue)), result: 42 });
      expectLike((await passing(target, waiting)).body, { id, state: 'done', result: 42 });
    },
  },
  {
    name: 'a schedule makes one item a slot, which says where it is from',
    run: async (target, queue) => {
      const schedules = { tick: { cron: '* * * * * *', payload: { tick: true } } };
      const described = await target.ask(queue, 'configure', { schedules });
      expectLike(described, {
        status: 0,
        body: { schedules: { tick: { timeZone: 'UTC', missed: 'once' } } },
      });
      const slots: number[] = [];
      for (const _ of [1, 2]) {
        const { id } = await take(target, queue);
        const { headers = {}, payload } = await shown(target, queue, id);
        expectLike({ headers, payload }, { headers: { 'trivet-schedule': 'tick' }, payload: { tick: true } });
        slots.push(Date.parse(headers['trivet-slot'] ?? ''));
      }
      expectEqual((slots[1] ?? 0) - (slots[0] ?? 0), 1_000, 'the time between two slots');
      await target.ask(queue, 'configure', { schedules: { tick: null } });
    },
  },
];
