import type {
  ChildView,
  LogLine,
  Purge,
  Update,
  WorkerView,
  waitingStates,
} from '#shared/protocol/queue-more-schemas.ts';
import type { QueueItem, QueuePriority, QueueStats, QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Configure, QueueDescription, Schedule } from '#shared/protocol/queue-settings-schemas.ts';
import { json, msgpack } from '#shared/protocol/encoding.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { type Added, AddedItem, type Accepted } from './added-item.ts';
import { type WaitOptions, waitForResult } from './item-wait.ts';
import { reject, requireObject } from './client-options.ts';
import type { OrLeftOut } from './left-out.ts';
import type { AddOptions, Moment } from './new-item.ts';
import type { QueueChannel } from './queue-channel.ts';
import { type EventsOptions, EventIteration, type QueueEvent, listenToEvents } from './queue-events.ts';
import { type ProducerOptions, QueueProducer } from './queue-producer.ts';

export type QueueOptions<Payload> = ProducerOptions<Payload>;

export interface ListOptions {
  readonly state?: QueueStatus | undefined;
  readonly priority?: QueuePriority | undefined;
  readonly group?: string | undefined;
  readonly key?: string | undefined;
  /** Of the newest attempt. */
  readonly worker?: string | undefined;
  /** Text in the payload. */
  readonly q?: string | undefined;
  /** Text in declared fields of the payload, by their paths. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

type Item<Payload, Result> = QueueItem & { readonly payload?: Payload; readonly result?: Result };

/** What `configure` takes. */
type Settings = OrLeftOut<
  Omit<Configure, 'schedules'> & {
    schedules?: Readonly<Record<string, OrLeftOut<Schedule> | null>> | null;
  }
>;

/** An item of a flow below its root; its own children come first. */
export interface FlowChild extends Omit<AddOptions, 'key' | 'onDuplicate'> {
  readonly queue: string;
  readonly payload: unknown;
  /** What a child of this item that failed means for it. Default `fail`. */
  readonly onChildFailure?: 'fail' | 'continue' | 'wait' | undefined;
  readonly children?: readonly FlowChild[] | undefined;
}

/** A tree of items: a parent begins when its children have ended. */
export interface Flow<Payload> extends Omit<FlowChild, 'queue' | 'payload'> {
  readonly payload: Payload;
  /** Idempotency key of the whole. */
  readonly key?: string | undefined;
  readonly children: readonly FlowChild[];
}

/**
 * One queue as its producers and its keepers see it. What is added in one turn of the event loop goes out as one
 * message. Every method rejects with a `TrivetError`.
 * @typeParam Payload what the items carry: any JSON value, or bytes
 * @typeParam Result  what its workers return
 */
export class Queue<Payload = unknown, Result = unknown> {
  readonly name: string;
  readonly #channel: QueueChannel;
  readonly #producer: QueueProducer<Payload>;

  /** @param channel of the client: use `trivet.queue(…)` */
  constructor(channel: QueueChannel, options: QueueOptions<Payload> = {}) {
    this.name = channel.queue;
    this.#channel = channel;
    this.#producer = new QueueProducer(channel, options);
  }

  /**
   * Adds an item; resolves once it is durable.
   * Rejects with `invalid_request` (also for a payload that does not fit the schema), `payload_too_large`,
   * `queue_full`, `unavailable`, `timeout`. After a `timeout` the item may or may not be there: add it again with the
   * same `key` to be sure to have it once.
   */
  add(payload: Payload, options: AddOptions = {}): Promise<Added<Result>> {
    return this.#producer.add(payload, options) as Promise<Added<Result>>;
  }

  /** Adds many, in order; one that is refused does not hold up its neighbours. Never rejects for a single item. */
  addMany(
    items: readonly { readonly payload: Payload; readonly options?: AddOptions | undefined }[],
  ): Promise<readonly PromiseSettledResult<Added<Result>>[]> {
    return this.#producer.addMany(items) as Promise<readonly PromiseSettledResult<Added<Result>>[]>;
  }

  /**
   * Adds a tree of items, all or none. The answer is the root's, which waits for its children. The schema holds for the
   * root's payload alone, and middleware stands around `add` only.
   */
  async flow(tree: Flow<Payload>): Promise<Added<Result> & { readonly children: number }> {
    requireObject(tree, 'flow');
    const accepted = await this.#producer.flow<Accepted & { readonly children: number }>(tree);
    const added = new AddedItem(this.#channel, accepted) as unknown as Added<Result>;
    return Object.assign(added, { children: accepted.children });
  }

  /** The whole item, or `not_found`. */
  get(id: string): Promise<Item<Payload, Result>> {
    return this.#ask('get', { id });
  }

  /**
   * As `get`, as soon as the item is final or `wait` (at most a minute) is over: look at `state`.
   * `finished` is for those who only want the result.
   */
  result(
    id: string,
    options: { readonly wait?: string | number | undefined } = {},
  ): Promise<Item<Payload, Result>> {
    // The longest wait of the wire and some: a shorter one is answered sooner.
    return this.#channel.ask('result', { id, ...options }, { timeoutMs: 65_000 });
  }

  /**
   * What the handler returned, once the item is done. Waits for ever, or for `timeout`, or until the signal is aborted.
   * Rejects with `ItemNotDone` when the item has failed or was cancelled.
   */
  finished(id: string, options: WaitOptions = {}): Promise<Result> {
    return waitForResult(this.#channel, id, options) as Promise<Result>;
  }

  /** One page of items, oldest first. `cursor` is where the next page begins; it is absent on the last one. */
  list(
    options: ListOptions = {},
  ): Promise<{ readonly items: readonly Item<Payload, Result>[]; readonly cursor?: string }> {
    return this.#ask('list', options);
  }

  /** Every item that fits, oldest first, page by page. One that does not change state meanwhile comes exactly once. */
  async *items(options: Omit<ListOptions, 'cursor'> = {}): AsyncGenerator<Item<Payload, Result>> {
    let cursor: string | undefined;
    do {
      const page = await this.list(cursor === undefined ? options : { ...options, cursor });
      yield* page.items;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /** Edits an item that waits; `delay` and `runAt` reschedule it. Rejects with `wrong_state` once it is worked on. */
  async update(
    id: string,
    changes: OrLeftOut<Omit<Update, 'id' | 'payload' | 'runAt'> & { payload?: Payload; runAt?: Moment }>,
  ): Promise<{ readonly state: QueueStatus }> {
    requireObject(changes, 'changes');
    if (changes.payload !== undefined) await this.#producer.check(changes.payload);
    // In JSON bytes would arrive as base64 text.
    const encoding = changes.payload instanceof Uint8Array ? msgpack : json;
    const { runAt } = changes;
    const time = runAt instanceof Date ? { runAt: runAt.toJSON() } : {};
    return this.#channel.ask('update', { ...changes, ...time, id }, { encoding });
  }

  async reprioritize(id: string, priority: QueuePriority): Promise<void> {
    await this.#ask('reprioritize', { id, priority });
  }

  /** Cancels an item in any state that is not final; a running handler sees it as an aborted signal. */
  async cancel(id: string, options: { readonly children?: boolean | undefined } = {}): Promise<void> {
    await this.#ask('cancel', { id, ...options });
  }

  /** Cancels what waits in one state: all of it, or `limit` items. Returns how many. A request for each 1,000. */
  async cancelAll(
    state: (typeof waitingStates)[number],
    options: { readonly limit?: number | undefined } = {},
  ): Promise<number> {
    const most = mostOf(options);
    let sum = 0;
    for (;;) {
      const limit = Math.min(1_000, most - sum);
      const { count } = await this.#ask<{ count: number }>('cancel', { state, limit });
      sum += count;
      if (count < limit || sum >= most) return sum;
    }
  }

  /** Gives a failed item all its attempts again. */
  async replay(id: string): Promise<void> {
    await this.#ask('replay', { id });
  }

  /**
   * Replays failed items, the oldest first: all of them, or `limit`. What fails again meanwhile is not replayed again.
   * Returns how many. A request for each 500.
   */
  async replayAll(options: { readonly limit?: number | undefined } = {}): Promise<number> {
    const most = mostOf(options);
    let sum = 0;
    let cursor: string | undefined;
    do {
      const limit = Math.min(500, most - sum);
      const asked = { state: 'failed', limit, ...(cursor === undefined ? {} : { cursor }) };
      const reply = await this.#ask<{ count: number; cursor?: string }>('replay', asked);
      sum += reply.count;
      ({ cursor } = reply);
    } while (cursor !== undefined && sum < most);
    return sum;
  }

  /**
   * Removes items for good: one, all of one state, or the whole queue with its settings. Returns how many.
   * Asks again until nothing is left, unless `limit` says how many at most.
   */
  async purge(what: OrLeftOut<Purge>): Promise<number> {
    let count = 0;
    for (;;) {
      const reply = await this.#ask<{ count: number; more?: boolean }>('purge', what);
      count += reply.count;
      if (reply.more !== true || what.limit !== undefined) return count;
    }
  }

  /** Log lines of an item, from the one after `after` on. */
  logs(
    id: string,
    options: { readonly after?: number | undefined; readonly limit?: number | undefined } = {},
  ): Promise<{ readonly lines: readonly LogLine[]; readonly count: number }> {
    return this.#ask('logs', { id, ...options });
  }

  /** What an item's children left, where it is the parent of a flow. */
  async children(id: string): Promise<readonly ChildView[]> {
    return (await this.#ask<{ items: readonly ChildView[] }>('children', { id })).items;
  }

  /** Who holds items of this queue, or waits for some. */
  async workers(): Promise<readonly WorkerView[]> {
    return (await this.#ask<{ workers: readonly WorkerView[] }>('workers', {})).workers;
  }

  stats(): Promise<QueueStats> {
    return this.#ask('stats', {});
  }

  /** The settings in effect, and the schedules. */
  describe(): Promise<QueueDescription> {
    return this.#ask('describe', {});
  }

  /** Changes settings; those that are not named stay, `null` is a setting's default. Answers as `describe`. */
  configure(settings: Settings): Promise<QueueDescription> {
    return this.#ask('configure', settings);
  }

  /** Makes an item at each slot of a cron pattern; the same name again changes the schedule. */
  async schedule(name: string, schedule: OrLeftOut<Schedule>): Promise<QueueDescription> {
    requireObject(schedule, 'schedule');
    if (schedule.payload instanceof Uint8Array)
      throw new TrivetError(refuseField('payload', 'must be a JSON value: bytes are not taken here').error);
    return this.configure({ schedules: { [name]: schedule } });
  }

  unschedule(name: string): Promise<QueueDescription> {
    return this.configure({ schedules: { [name]: null } });
  }

  /** Hands out nothing until `resume`: of the queue, for all workers. */
  async pause(): Promise<void> {
    await this.#ask('pause', {});
  }

  async resume(): Promise<void> {
    await this.#ask('resume', {});
  }

  /** Calls `listener` whenever an item enters `state`; the returned function ends it. Live events may be missed. */
  on(state: QueueStatus, listener: (event: QueueEvent) => void): () => void {
    return listenToEvents(this.#channel, [state], listener);
  }

  /** Items entering states, live, from this call on. Events may be missed: `get` and `list` tell what is. */
  events(options: EventsOptions = {}): AsyncIterableIterator<QueueEvent> {
    return new EventIteration(this.#channel, options);
  }

  #ask<Reply>(operation: string, body: unknown): Promise<Reply> {
    return this.#channel.ask<Reply>(operation, body);
  }
}

function mostOf({ limit = Number.POSITIVE_INFINITY }: { readonly limit?: number | undefined }): number {
  if (!(limit >= 1) || (Number.isFinite(limit) && !Number.isInteger(limit)))
    reject('limit', 'must be a whole number, at least 1');
  return limit;
}
