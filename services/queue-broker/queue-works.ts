import type { Encoding } from '#shared/protocol/encoding.ts';
import type { Refusal, Result } from '#shared/protocol/errors.ts';
import { type QueueStatus, priorities, states } from '#shared/protocol/queue-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { decidePause } from './core/admin-decisions.ts';
import { decideDequeue } from './core/dequeue-decision.ts';
import {
  type EnqueueAnswer,
  type EnqueueRequest,
  decideEnqueue,
  decideEnqueueMany,
} from './core/enqueue-decisions.ts';
import type { ExtendAnswer, SettledAnswer } from './core/lease-decisions.ts';
import { parseItemId } from './core/item.ts';
import type { Turn } from './core/turn.ts';
import { type NotedRequest, dequeueBytes, enqueueBytes, itemBytes, notedBytes } from './log-bytes.ts';
import { type ItemWithPayload, leasedJson, leasedView, withPayload } from './item-views.ts';
import type { Partition } from './partition.ts';
import type { LeasedCall } from './leased-requests.ts';
import type { DequeueCall, Each } from './queue-requests.ts';
import { inItem } from './request-parts.ts';
import { type AfterCommit, type Answer, type Room, type Work, prepared } from './work.ts';

/**
 * Answers one caller; exactly one of its verbs is called, once. Those that return something have put their answer
 * together and not sent it: that is done by what they return.
 */
export interface Caller {
  value(value: unknown): void;
  /** As `value`, where the JSON of it can be put together faster than by a library. */
  written(answer: Written): AfterCommit;
  readonly refuse: (refusal: Refusal) => void;
  /** Hands out leased items, and notices when nobody is there to take them. */
  lease(partition: number, items: readonly ItemWithPayload[]): AfterCommit;
  /** As `written`, with leased items beside it as `next`. */
  writtenWithNext(partition: number, answer: Written, next: readonly ItemWithPayload[]): AfterCommit;
}

/** An answer that is an object, in both of its forms; only one of them is asked for. */
export interface Written {
  readonly value: () => object;
  readonly json: () => string;
}

/** How an operation writes what became of one item: as an object, and as the JSON of that object. */
export interface View<A> {
  readonly value: (answer: A) => object;
  readonly json: (answer: A) => string;
}

export function enqueueWork(request: EnqueueRequest, caller: Caller): Work {
  return {
    bytes: enqueueBytes(request),
    room: 'new-items',
    decide: (turn) => {
      const decided = decideEnqueue(turn, request);
      return () => (decided.ok ? caller.value(enqueuedView(decided.value)) : caller.refuse(decided.error));
    },
    refuse: caller.refuse,
  };
}

export function enqueueManyWork(requests: readonly Each<EnqueueRequest>[], caller: Caller): Work {
  return {
    bytes: requests.reduce((sum, one) => sum + (one.ok ? enqueueBytes(one.value) : itemBytes), 0),
    room: 'new-items',
    decide: (turn) => {
      const decided = decideEnqueueMany(turn, requests);
      if (!decided.ok) return () => caller.refuse(decided.error);
      const answers = decided.value.map((one, index) => placed(one, requests[index], index));
      return { prepare: () => caller.written(listWritten(answers, enqueuedManyView)) };
    },
    refuse: caller.refuse,
  };
}

/** What the decision refuses names its place, as a fault in what was read does already. */
function placed<A>(decided: Result<A>, read: Result<unknown> | undefined, index: number): Result<A> {
  return decided.ok || read?.ok === false ? decided : { ok: false, error: inItem(decided.error, index) };
}

/** A dequeue is answered at once when something is ready or it does not wait; otherwise it joins the line. */
export function dequeueWork(partition: Partition, request: DequeueCall, caller: Caller): Work {
  const attempt = (turn: Turn): Answer | undefined => {
    const items = decideDequeue(turn, request).map((item) => withPayload(turn.table, item));
    if (items.length === 0) return undefined;
    return { prepare: () => caller.lease(turn.partition, items) };
  };
  const nothing = () => caller.value({ items: [] });
  let waits = false;
  return {
    bytes: dequeueBytes(request.max),
    room: 'claims',
    decide: (turn) => {
      const answer = attempt(turn);
      if (answer !== undefined) {
        partition.waiting.passOver(request);
        return answer;
      }
      if (request.waitMs === 0) return nothing;
      // Joined now and not after the commit: what becomes ready later in this very turn is for whoever waits.
      const { queue, worker, claim, waitMs } = request;
      const waiter = { queue, worker, claim, decide: attempt, expire: nothing, refuse: caller.refuse };
      waits = partition.wait(waiter, waitMs);
      return waits ? () => undefined : () => caller.refuse(tooManyWait);
    },
    // Who waits is answered by the line: served, sent away, or told that the outcome is not known.
    refuse: (refusal) => {
      if (!waits) caller.refuse(refusal);
    },
  };
}

/** `complete`, `fail`, `extend` or `release`, single or batch, and the next items in the same record. */
export function leasedWork<R extends NotedRequest, A>(options: {
  readonly queue: string;
  readonly call: LeasedCall<R>;
  readonly caller: Caller;
  readonly decide: (turn: Turn, queue: string, request: R) => Result<A>;
  readonly view: View<A>;
  readonly bytes: number;
}): Work {
  const { queue, call, caller, decide, view } = options;
  const noted = call.items.reduce((sum, one) => sum + (one.ok ? notedBytes(one.value) : 0), 0);
  return {
    bytes:
      Math.max(options.bytes, noted) + itemBytes * call.items.length + dequeueBytes(call.fetch?.max ?? 0),
    room: 'always',
    decide: (turn) => {
      const worker = call.fetch === undefined ? {} : workerOf(turn, call);
      const decided = call.items.map((one) => (one.ok ? decide(turn, queue, one.value) : one));
      const [first] = decided;
      if (call.single && first?.ok === false) return () => caller.refuse(first.error);
      const answer =
        call.single && first?.ok === true ? oneWritten(first.value, view) : listWritten(decided, view);
      if (call.fetch === undefined) return { prepare: () => caller.written(answer) };
      const next = decideDequeue(turn, { queue, ...call.fetch, ...worker }).map((item) =>
        withPayload(turn.table, item),
      );
      return { prepare: () => caller.writtenWithNext(turn.partition, answer, next) };
    },
    refuse: caller.refuse,
  };
}

/** Whoever held what is finished here: what is fetched with it is for the same worker. */
function workerOf(turn: Turn, { items }: LeasedCall<NotedRequest>): { readonly worker?: string } {
  const [first] = items;
  if (first?.ok !== true) return {};
  const { worker } = turn.table.leased.get(parseItemId(first.value.id).order)?.lease ?? {};
  return worker === undefined ? {} : { worker };
}

/** Lets a queue hand out again; whoever waits at it is served in the same record. */
export function resumeWork(partition: Partition, queue: string, caller: Caller): Work {
  return {
    bytes: itemBytes,
    room: 'always',
    decide: (turn) => {
      decidePause(turn, queue, false);
      const served = partition.waiting.serve(queue, turn);
      return () => {
        caller.value({ queue, paused: false });
        for (const answer of served) prepared(answer)();
      };
    },
    refuse: caller.refuse,
  };
}

/** A question or an administrative act: one answer, made within the turn. */
export function plainWork(
  caller: Caller,
  decide: (turn: Turn) => Result<unknown>,
  room: Room = 'always',
): Work {
  return {
    bytes: itemBytes,
    room,
    decide: (turn) => {
      const decided = decide(turn);
      return () => (decided.ok ? caller.value(decided.value) : caller.refuse(decided.error));
    },
    refuse: caller.refuse,
  };
}

const enqueuedView = (answer: EnqueueAnswer) => ({
  id: answer.id,
  queue: answer.queue,
  state: answer.state,
  priority: priorities[answer.band] ?? 'normal',
  duplicate: answer.duplicate,
  ...replacedField(answer),
});

const replacedField = ({ replaced }: EnqueueAnswer) => (replaced === undefined ? {} : { replaced });

// Ids, states and times hold nothing that JSON must escape.

const enqueuedManyView: View<EnqueueAnswer> = {
  value: (answer) => {
    const { id, state, duplicate } = answer;
    return { id, state, duplicate, ...replacedField(answer) };
  },
  json: ({ id, state, duplicate, replaced }) =>
    duplicate
      ? `{"id":"${id}","state":"${state}","duplicate":true${replaced === true ? ',"replaced":true' : ''}}`
      : `{"id":"${id}${newIn[state]}`,
};

/** What stands behind the id of a new item: put together once, and not for each of them. */
const newIn = Object.fromEntries(
  states.map((state) => [state, `","state":"${state}","duplicate":false}`]),
) as Readonly<Record<QueueStatus, string>>;

export const completedView: View<SettledAnswer> = {
  value: ({ id, state }) => ({ id, state }),
  json: ({ id, state }) => `{"id":"${id}","state":"${state}"}`,
};

const plainView = <A>(value: (answer: A) => object): View<A> => ({
  value,
  json: (answer) => JSON.stringify(value(answer)),
});

export const failedView = plainView(({ id, state, attempt, nextAttemptAt }: SettledAnswer) => ({
  id,
  state,
  attempt,
  ...(nextAttemptAt === undefined ? {} : { nextAttemptAt: formatTime(nextAttemptAt) }),
}));

export const extendedView = plainView(({ id, leaseExpiresAt, cancelled }: ExtendAnswer) => ({
  id,
  leaseExpiresAt: formatTime(leaseExpiresAt),
  cancelled,
}));

const oneWritten = <A>(answer: A, view: View<A>): Written => ({
  value: () => view.value(answer),
  json: () => view.json(answer),
});

const listWritten = <A>(answers: readonly Result<A>[], view: View<A>): Written => ({
  value: () => ({ items: answers.map((one) => (one.ok ? view.value(one.value) : { error: one.error })) }),
  json: () => {
    let list = '';
    for (const one of answers) {
      const text = one.ok ? view.json(one.value) : JSON.stringify({ error: one.error });
      list += list === '' ? text : `,${text}`;
    }
    return `{"items":[${list}]}`;
  },
});

/** `{…answer, "next":[…]}`. */
export function withNext(
  partition: number,
  answer: Written,
  next: readonly ItemWithPayload[],
  encoding: Encoding,
): string | object {
  if (encoding === 'application/msgpack')
    return { ...answer.value(), next: next.map((one) => leasedView(partition, one, encoding)) };
  return `${answer.json().slice(0, -1)},"next":${leasedJson(partition, next)}}`;
}

const tooManyWait: Refusal = {
  code: 'unavailable',
  message: 'too many dequeues wait already, ask again without wait or later',
};
