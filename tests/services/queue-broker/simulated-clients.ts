import {
  decideCancel,
  decidePause,
  decideReplay,
  decideReprioritize,
} from '#services/queue-broker/core/admin-decisions.ts';
import { decideUpdate } from '#services/queue-broker/core/edit-decisions.ts';
import { itemId, parseItemId } from '#services/queue-broker/core/item.ts';
import {
  decideComplete,
  decideExtend,
  decideFail,
  decideRelease,
} from '#services/queue-broker/core/lease-decisions.ts';
import { decidePurge, decidePurgeAll } from '#services/queue-broker/core/purge-decisions.ts';
import {
  type ScheduleChanges,
  checkSchedules,
  decideSchedules,
} from '#services/queue-broker/core/schedule-decisions.ts';
import type { Turn } from '#services/queue-broker/core/turn.ts';
import type { ItemWithPayload } from '#services/queue-broker/item-views.ts';
import { leasedReaders } from '#services/queue-broker/leased-requests.ts';
import { readDequeue, readEnqueueMany } from '#services/queue-broker/queue-requests.ts';
import * as works from '#services/queue-broker/queue-works.ts';
import type { Partition } from '#services/queue-broker/partition.ts';
import type { Work } from '#services/queue-broker/work.ts';
import { durationMs } from '#shared/protocol/durations.ts';
import { json } from '#shared/protocol/encoding.ts';
import type { MissedSlots } from '#shared/protocol/queue-settings-schemas.ts';
import { madeSchedule, madeSlots } from '#tests/support/made-slots.ts';
import type { Refusal, Result } from '#shared/protocol/errors.ts';
import type { VirtualBroker, VirtualWorld } from '#tests/support/virtual-world.ts';
import { must } from './must.ts';
import type { QueueModel } from './queue-model.ts';
import type { Submitted } from './submitted.ts';

/** A lease that some worker was given, live or long gone. */
export interface Held {
  readonly queue: string;
  readonly order: number;
  readonly token: number;
}

/** The broker as it answered. */
interface Answering {
  readonly broker: VirtualBroker;
  /** The last record in the log when the question was asked. */
  readonly askedAt: number;
}

interface Answers {
  readonly value?: (value: unknown, answering: Answering) => void;
  readonly lease?: (items: readonly ItemWithPayload[], answering: Answering) => void;
  readonly refuse?: (refusal: Refusal, answering: Answering) => void;
}

/** Makes the work anew each time that the request is sent: a client may send it twice. */
export type Request = (partition: Partition, caller: works.Caller) => Work;

/**
 * The clients of a simulation: they ask, remember what they asked for, and hold every answer against the model.
 * A broker that has lost the partition without knowing it may refuse wrongly; what it grants must be true.
 */
export class SimulatedClients {
  readonly #world: VirtualWorld;
  readonly #model: QueueModel;
  readonly #submitted: Submitted;
  readonly held: Held[] = [];
  /** Items that somebody was promised. */
  readonly acknowledged = new Set<number>();
  readonly #handedTo = new Map<string, string>();
  /** Requests that a broker has taken and not answered. */
  readonly #open = new Set<object>();
  #requests = 0;

  constructor(world: VirtualWorld, model: QueueModel, submitted: Submitted) {
    this.#world = world;
    this.#model = model;
    this.#submitted = submitted;
  }

  get unanswered(): number {
    return this.#open.size;
  }

  /** Waits no longer for what was asked before: its broker may have died. */
  forgetUnanswered(): void {
    this.#open.clear();
  }

  /** @param items as in the body of `enqueue-many` */
  enqueue(queue: string, items: readonly Readonly<Record<string, unknown>>[]): void {
    const read = accepted(readEnqueueMany(queue, { items }, json));
    for (const { payload, key, onDuplicate, delay } of items) {
      const text = JSON.stringify(payload);
      this.#submitted.note('enqueue', queue, text);
      const delayMs = onDuplicate === 'debounce' ? (durationMs(String(delay)) ?? 0) : 'none';
      if (onDuplicate !== undefined)
        this.#submitted.note('replace', `${queue} ${String(key)}`, text, delayMs);
    }
    const [only] = read;
    if (read.length === 1 && only !== undefined) {
      const value = (answer: unknown) => this.#checkEnqueued(queue, items[0], answer);
      return this.#send((_, caller) => works.enqueueWork(accepted(only), caller), { value });
    }
    const value = (answer: unknown) =>
      (answer as { items: unknown[] }).items.forEach((one, index) =>
        this.#checkEnqueued(queue, items[index], one),
      );
    this.#send((_, caller) => works.enqueueManyWork(read, caller), { value });
  }

  dequeue(queue: string, body: { max?: number; wait?: string; lease?: string }, claim?: string): void {
    const call = accepted(readDequeue(queue, body, claim));
    this.#requests += 1;
    const tag = claim ?? `request ${this.#requests}`;
    this.#send((partition, caller) => works.dequeueWork(partition, call, caller), {
      lease: (items, { askedAt }) => {
        items.forEach((one) => this.#checkHandedOut(queue, one, tag));
        const handed = new Set(items.map(({ item }) => item.token));
        const missed = this.#model.heldBy(queue, claim, askedAt).find(({ token }) => !handed.has(token));
        must(
          missed === undefined,
          `${claim} is repeated and does not get item ${missed?.order}, which it holds`,
        );
      },
      value: (_, { broker, askedAt }) => {
        if (call.waitMs > 0 || !broker.ownsTheLog) return;
        const ready = this.#model.readySince(queue, askedAt);
        must(
          ready === undefined,
          `a dequeue found nothing though item ${ready?.order} was ready all the time`,
        );
      },
    });
  }

  complete(held: Held, fetch?: { max: number; lease: string }): void {
    this.#submitted.note('complete', held.order, held.token);
    const call = accepted(
      leasedReaders.complete({ ...named(held), ...(fetch === undefined ? {} : { fetch }) }),
    );
    const { queue } = held;
    const view = works.completedView;
    this.#requests += 1;
    const tag = `request ${this.#requests}`;
    this.#send(
      (_, caller) => works.leasedWork({ queue, call, caller, decide: decideComplete, view, bytes: 100 }),
      {
        value: () => this.#checkEnded(held, 'done'),
        lease: (items) => items.forEach((one) => this.#checkHandedOut(queue, one, tag)),
        refuse: (refusal, answering) => this.#checkRefused(held, refusal, answering, ['done']),
      },
    );
  }

  fail(held: Held, options: { retry: boolean; delay?: number }): void {
    this.#submitted.noteFailure(held.order, held.token, options.retry);
    const call = accepted(leasedReaders.fail({ ...named(held), error: { message: 'broken' }, ...options }));
    const { queue } = held;
    const view = works.failedView;
    this.#send(
      (_, caller) => works.leasedWork({ queue, call, caller, decide: decideFail, view, bytes: 100 }),
      {
        value: (value) => this.#checkEnded(held, (value as { state: string }).state),
        refuse: (refusal, answering) => this.#checkRefused(held, refusal, answering, ['failed', 'retry']),
      },
    );
  }

  release(held: Held, delay = 0): void {
    this.#submitted.note('release', held.order, held.token, delay);
    const call = accepted(leasedReaders.release({ ...named(held), delay }));
    const { queue } = held;
    const view = works.completedView;
    this.#send(
      (_, caller) => works.leasedWork({ queue, call, caller, decide: decideRelease, view, bytes: 100 }),
      {
        value: (value) => this.#checkEnded(held, (value as { state: string }).state),
        refuse: (refusal, answering) =>
          this.#checkRefused(held, refusal, answering, ['pending', 'scheduled']),
      },
    );
  }

  extend(held: Held, lease: string): void {
    this.#submitted.note('extend', held.order, held.token);
    const call = accepted(leasedReaders.extend({ ...named(held), lease, progress: { at: held.token } }));
    const { queue } = held;
    const view = works.extendedView;
    this.#send(
      (_, caller) => works.leasedWork({ queue, call, caller, decide: decideExtend, view, bytes: 100 }),
      {
        value: (value) => {
          const state = this.#model.all.get(held.order)?.state;
          const { cancelled } = value as { cancelled: boolean };
          must(
            !cancelled || state === 'cancelled',
            `a worker hears that item ${held.order} is cancelled, it is ${state}`,
          );
        },
        refuse: (refusal, answering) => this.#checkRefused(held, refusal, answering, []),
      },
    );
  }

  cancel(queue: string, order: number): void {
    this.#submitted.note('cancel', order);
    this.plain((turn) => decideCancel(turn, queue, itemId(0, order)), {
      value: () => {
        const state = this.#model.all.get(order)?.state;
        must(state === 'cancelled', `item ${order} was cancelled and is ${state}`);
      },
    });
  }

  purge(queue: string, order: number): void {
    this.#submitted.note('purge', order);
    this.plain((turn) => decidePurge(turn, queue, itemId(0, order)), {
      value: () => must(!this.#model.items.has(order), `item ${order} was purged and is still there`),
    });
  }

  purgeAll(queue: string, limit: number): void {
    this.#submitted.note('purge-all', queue);
    this.plain((turn) => ({ ok: true, value: decidePurgeAll(turn, queue, limit) }), {});
  }

  replay(queue: string, order: number): void {
    this.#submitted.note('replay', order);
    this.plain((turn) => decideReplay(turn, queue, itemId(0, order)), {});
  }

  reprioritize(queue: string, order: number, band: number): void {
    this.#submitted.note('reprioritize', order, band);
    this.plain((turn) => decideReprioritize(turn, queue, itemId(0, order), band), {});
  }

  /** @param changes as in the body of `update` */
  update(
    queue: string,
    order: number,
    changes: { payload?: unknown; delay?: number; maxAttempts?: number },
  ): void {
    const { payload, delay, maxAttempts } = changes;
    const text = payload === undefined ? 'none' : JSON.stringify(payload);
    this.#submitted.note('update', order, text, delay ?? 'none');
    // What is pending already is not made so again.
    if (delay === 0) this.#submitted.note('update', order, text, 'none');
    const content =
      payload === undefined
        ? {}
        : { content: { payload: new TextEncoder().encode(text), payloadIsJson: true } };
    const options = {
      ...(delay === undefined ? {} : { delayMs: delay }),
      ...(maxAttempts === undefined ? {} : { attemptsMax: maxAttempts }),
    };
    const request = { id: itemId(0, order), options, ...content };
    this.plain((turn) => decideUpdate(turn, queue, request), {});
  }

  /** Sets a schedule of the slots that `madeSlots` knows. */
  schedule(queue: string, name: string, periodMs: number, missed: MissedSlots): void {
    const cron = String(periodMs);
    const text = JSON.stringify(name);
    this.#submitted.note('schedule', `${queue} ${name}`, cron, missed);
    this.#submitted.note('enqueue', queue, text);
    const schedule = madeSchedule({ cron, missed }, text);
    this.plain((turn) => this.#configure(turn, queue, new Map([[name, schedule]])), {});
  }

  unschedule(queue: string, name: string): void {
    this.#submitted.note('unschedule', `${queue} ${name}`);
    this.plain((turn) => this.#configure(turn, queue, new Map([[name, null]])), {});
  }

  #configure(turn: Turn, queue: string, changes: ScheduleChanges): Result<unknown> {
    const slots = madeSlots();
    const checked = checkSchedules(turn, slots, queue, changes);
    if (checked.ok) decideSchedules(turn, slots, queue, changes);
    return checked;
  }

  pause(queue: string, paused: boolean): void {
    this.#submitted.note(paused ? 'pause' : 'resume', queue);
    this.plain((turn) => {
      decidePause(turn, queue, paused);
      return { ok: true, value: {} };
    }, {});
  }

  plain(decide: (turn: Turn) => Result<unknown>, answers: Answers = {}): void {
    this.#send((_, caller) => works.plainWork(caller, decide), answers);
  }

  /** Sends a request to a broker that takes requests; sometimes twice, at once or much later. */
  #send(request: Request, answers: Answers): void {
    const { random, clock, faulty } = this.#world;
    this.#deliver(request, answers);
    if (!faulty || !random.chance(0.1)) return;
    clock.after(random.chance(0.5) ? 0 : random.integer(1, 60_000), () => this.#deliver(request, answers));
  }

  #deliver(request: Request, answers: Answers): void {
    const serving = this.#world.brokers.filter((one) => one.partition !== undefined);
    const broker = serving.length === 0 ? undefined : this.#world.random.pick(serving);
    const partition = broker?.partition;
    if (broker === undefined || partition === undefined) return;
    const answering = { broker, askedAt: this.#model.sequence };
    partition.submit(request(partition, this.#caller(answers, answering)));
  }

  #caller(answers: Answers, answering: Answering): works.Caller {
    const asked = {};
    this.#open.add(asked);
    let answered = false;
    const once = (check: () => void): void => {
      this.#open.delete(asked);
      try {
        must(!answered, 'a request is answered twice');
        answered = true;
        check();
      } catch (error) {
        this.#world.fail(error);
      }
    };
    return {
      value: (value) => once(() => answers.value?.(value, answering)),
      refuse: (refusal) => once(() => answers.refuse?.(refusal, answering)),
      lease: (_, items) => () => once(() => answers.lease?.(items, answering)),
      // Both forms must say the same: the simulation reads the one that brokers write by hand.
      written: (answer) => () => once(() => answers.value?.(JSON.parse(answer.json()), answering)),
      writtenWithNext: (_, answer, next) => () =>
        once(() => {
          answers.value?.(JSON.parse(answer.json()), answering);
          answers.lease?.(next, answering);
        }),
    };
  }

  #checkEnqueued(queue: string, asked: Readonly<Record<string, unknown>> | undefined, answer: unknown): void {
    const { id, duplicate, replaced } = answer as { id: string; duplicate: boolean; replaced?: boolean };
    const { order } = parseItemId(id);
    const item = this.#model.all.get(order);
    if (item === undefined) throw new Error(`item ${order} was acknowledged and is not in the log`);
    must(item.queue === queue, `item ${order} went into ${item.queue} instead of ${queue}`);
    if (duplicate) must(item.key === asked?.['key'], `item ${order} is no duplicate: it has another key`);
    if (!duplicate || replaced === true)
      must(item.payloads.has(JSON.stringify(asked?.['payload'])), `item ${order} never had this payload`);
    this.acknowledged.add(order);
  }

  #checkHandedOut(queue: string, { item, payload }: ItemWithPayload, tag: string): void {
    const { order, token } = item;
    const name = `${order} ${token}`;
    must(this.#model.wasClaimed(order, token), `item ${order} was handed out, the log knows nothing of it`);
    must(
      this.#model.all.get(order)?.payloads.has(new TextDecoder().decode(payload)) === true,
      `item ${order} lost its payload`,
    );
    const other = this.#handedTo.get(name) ?? tag;
    must(other === tag, `item ${order} was handed to ${other} and to ${tag} under one token`);
    this.#handedTo.set(name, tag);
    this.held.push({ queue, order, token });
  }

  #checkEnded({ order, token }: Held, how: string): void {
    const ending = this.#model.all.get(order)?.endings.get(token);
    must(
      ending === how,
      `the lease ${token} of item ${order} is answered with ${how}, its end was ${ending}`,
    );
  }

  /** @param endings what the model says of a lease that this very operation has ended */
  #checkRefused(
    { order, token }: Held,
    { code }: Refusal,
    { broker }: Answering,
    endings: readonly string[],
  ): void {
    if (!broker.ownsTheLog || code === 'unavailable' || code === 'timeout') return;
    const holder = this.#model.holder(order, token);
    must(holder === undefined, `whoever holds item ${order} by its token hears ${code}`);
    const item = this.#model.items.get(order);
    if (code === 'not_found') must(item === undefined, `item ${order} is there and is not found`);
    const ending = item?.token === token ? item.endings.get(token) : undefined;
    const repeats = ending !== undefined && endings.includes(ending);
    must(!repeats, `who repeats what ended the lease of item ${order} hears ${code}, not the first answer`);
  }
}

const named = ({ order, token }: Held) => ({ id: itemId(0, order), token });

function accepted<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`the simulation asks for nonsense: ${result.error.message}`);
  return result.value;
}
