import { durationMs } from '#shared/protocol/durations.ts';
import { TrivetError, type Refusal } from '#shared/protocol/errors.ts';
import { batchItemsMax, errorMessageLengthMax, stackLengthMax } from '#shared/protocol/limits.ts';
import type { Failure, LeasedItem } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { requestReply } from './request.ts';

/** Throw it from a handler: the item fails for good, whatever attempts are left. */
export class DoNotRetry extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DoNotRetry';
  }
}

/** What a handler gets beside the payload. */
export interface Job {
  readonly id: string;
  readonly queue: string;
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Fencing token: pass it to what you write to, so that a stale worker can be refused there too. */
  readonly token: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Aborted when the item was cancelled, its lease was lost, or the worker is told to end at once. */
  readonly signal: AbortSignal;
  /** Notes how far the work is: any JSON value of at most 8 KiB; sent with the next renewal of the lease. */
  progress(note: unknown): void;
}

export type Handler<Payload, Result> = (payload: Payload, job: Job) => Promise<Result> | Result;

export interface WorkerOptions {
  /** Handlers that run at once. Default 10. */
  readonly concurrency?: number;
  /** How long the broker waits for a sign of life, such as "30s" (default). Renewed at a third of it. */
  readonly lease?: string | number;
  /** Shown on the item's attempts. Default: none. */
  readonly name?: string;
  /** Hears of what went wrong beside the handler: a lost lease, a broker that does not answer. Default: nobody. */
  readonly onError?: (error: Error) => void;
}

interface Running {
  readonly item: LeasedItem;
  readonly abort: AbortController;
  note?: unknown;
}

interface Outcome {
  readonly running: Running;
  readonly body: Readonly<Record<string, unknown>>;
  readonly operation: 'complete' | 'fail';
}

const waitText = '20s';
const waitMs = 20_000;

/**
 * Works on a queue: leases items, runs the handler, and says how it went. Outcomes of one turn of the event loop go out
 * as one message, which also fetches the next items. Delivery is at least once: a handler must bear to run twice.
 */
export class Worker<Payload = unknown, Result = unknown> {
  readonly #nats: Nats;
  readonly #subjects: Subjects;
  readonly #queue: string;
  readonly #handler: Handler<Payload, Result>;
  readonly #options: WorkerOptions;
  readonly #concurrency: number;
  readonly #leaseMs: number;
  readonly #running = new Map<string, Running>();
  #outcomes: Outcome[] = [];
  #flushScheduled = false;
  #fetching = false;
  #sending = 0;
  #stopping = false;
  #idle: (() => void) | undefined;
  #cancelRenewal: (() => void) | undefined;

  constructor(
    nats: Nats,
    subjects: Subjects,
    queue: string,
    handler: Handler<Payload, Result>,
    options: WorkerOptions = {},
  ) {
    this.#nats = nats;
    this.#subjects = subjects;
    this.#queue = queue;
    this.#handler = handler;
    this.#options = options;
    this.#concurrency = options.concurrency ?? 10;
    const leaseMs = durationMs(options.lease ?? '30s');
    if (leaseMs === undefined)
      throw new TrivetError({ code: 'invalid_request', message: 'lease is not a duration' });
    this.#leaseMs = leaseMs;
    this.#scheduleRenewal();
    void this.#fetch();
  }

  /** Takes nothing new, lets running handlers finish, and says how they went. */
  async stop(): Promise<void> {
    this.#stopping = true;
    while (this.#running.size > 0 || this.#outcomes.length > 0 || this.#sending > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.#cancelRenewal?.();
  }

  get #free(): number {
    return Math.min(batchItemsMax, this.#concurrency - this.#running.size);
  }

  /** Asks for items and waits for them; one such question is under way at a time. */
  async #fetch(): Promise<void> {
    if (this.#fetching || this.#stopping || this.#free <= 0) return;
    this.#fetching = true;
    const body = { max: this.#free, wait: waitText, lease: this.#leaseMs, ...this.#identity };
    const reply = await requestReply(this.#nats, this.#subjects.queue(this.#queue, 'dequeue'), body, {
      timeoutMs: waitMs + 5_000,
    });
    this.#fetching = false;
    if (reply.ok) await this.#take((reply.value as { items: LeasedItem[] }).items);
    else await this.#pauseAfter(reply.error);
    void this.#fetch();
  }

  /** Starts what was leased, or hands it back when the worker has been told to stop meanwhile. */
  async #take(items: readonly LeasedItem[]): Promise<void> {
    if (this.#stopping && items.length > 0) {
      const released = { items: items.map(({ id, token }) => ({ id, token })) };
      await requestReply(this.#nats, this.#subjects.queue(this.#queue, 'release'), released);
      return;
    }
    for (const item of items) void this.#run(item);
  }

  async #run(item: LeasedItem): Promise<void> {
    const running: Running = { item, abort: new AbortController() };
    this.#running.set(item.id, running);
    try {
      const result = await this.#handler(payloadOf(item) as Payload, jobOf(running));
      this.#settle({ running, operation: 'complete', body: result === undefined ? {} : { result } });
    } catch (error) {
      const retry = error instanceof DoNotRetry ? { retry: false } : {};
      this.#settle({ running, operation: 'fail', body: { error: failureOf(error), ...retry } });
    }
  }

  #settle(outcome: Outcome): void {
    this.#outcomes.push(outcome);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    for (const { running } of outcomes) this.#running.delete(running.item.id);
    const completed = outcomes.filter((one) => one.operation === 'complete');
    const failed = outcomes.filter((one) => one.operation === 'fail');
    if (failed.length > 0) void this.#send('fail', failed);
    if (completed.length > 0) void this.#send('complete', completed);
    void this.#fetch();
  }

  /** Says how items went. Asked again until it is answered: repeating an outcome gives the first answer. */
  async #send(operation: 'complete' | 'fail', outcomes: readonly Outcome[]): Promise<void> {
    this.#sending += 1;
    const fetches = !this.#fetching && !this.#stopping && this.#free > 0;
    if (fetches) this.#fetching = true;
    const items = outcomes.map(({ running, body }) => ({
      id: running.item.id,
      token: running.item.token,
      ...body,
    }));
    const body = { items, ...(fetches ? { fetch: { max: this.#free, lease: this.#leaseMs } } : {}) };
    const deadline = systemClock.monotonicMs() + this.#leaseMs;
    let reply = await requestReply(this.#nats, this.#subjects.queue(this.#queue, operation), body);
    while (!reply.ok && isTransient(reply.error) && systemClock.monotonicMs() < deadline) {
      await this.#pauseAfter(reply.error);
      reply = await requestReply(this.#nats, this.#subjects.queue(this.#queue, operation), body);
    }
    if (fetches) this.#fetching = false;
    if (reply.ok) {
      const answer = reply.value as { items: { error?: Refusal }[]; next?: LeasedItem[] };
      for (const one of answer.items) if (one.error !== undefined) this.#report(new TrivetError(one.error));
      await this.#take(answer.next ?? []);
    } else this.#report(new TrivetError(reply.error));
    this.#sending -= 1;
    this.#idle?.();
    void this.#fetch();
  }

  #scheduleRenewal(): void {
    this.#cancelRenewal = systemClock.after(Math.max(50, this.#leaseMs / 3), () => {
      void this.#renew();
      this.#scheduleRenewal();
    });
  }

  /** Renews every lease in one message; learns here of cancelled items and lost leases. */
  async #renew(): Promise<void> {
    const all = [...this.#running.values()];
    for (let from = 0; from < all.length; from += batchItemsMax) {
      const batch = all.slice(from, from + batchItemsMax);
      const items = batch.map(({ item, note }) => ({
        id: item.id,
        token: item.token,
        lease: this.#leaseMs,
        ...(note === undefined ? {} : { progress: note }),
      }));
      const reply = await requestReply(this.#nats, this.#subjects.queue(this.#queue, 'extend'), { items });
      if (!reply.ok) {
        this.#report(new TrivetError(reply.error));
        continue;
      }
      const answers = (reply.value as { items: ({ cancelled: boolean } | { error: Refusal })[] }).items;
      for (const [index, answer] of answers.entries()) {
        if ('error' in answer) batch[index]?.abort.abort(new TrivetError(answer.error));
        else if (answer.cancelled) batch[index]?.abort.abort(new Error('the item was cancelled'));
      }
    }
  }

  get #identity(): { worker?: string } {
    return this.#options.name === undefined ? {} : { worker: this.#options.name };
  }

  async #pauseAfter(refusal: Refusal): Promise<void> {
    this.#report(new TrivetError(refusal));
    // Not all workers at the same moment, when a broker comes back.
    await sleep(systemClock, 200 + Math.random() * 300);
  }

  #report(error: Error): void {
    // A question that the end of the connection cuts off is no fault: what it would have brought is handed back.
    if (!this.#stopping) this.#options.onError?.(error);
  }
}

function jobOf(running: Running): Job {
  const { item, abort } = running;
  return {
    id: item.id,
    queue: item.queue,
    attempt: item.attempt,
    maxAttempts: item.maxAttempts,
    token: item.token,
    headers: item.headers ?? {},
    signal: abort.signal,
    progress: (note) => {
      running.note = note;
    },
  };
}

const payloadOf = (item: LeasedItem): unknown =>
  item.payloadBase64 === undefined ? item.payload : Buffer.from(item.payloadBase64, 'base64');

function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { message: String(error).slice(0, errorMessageLengthMax) };
  return {
    message: error.message.slice(0, errorMessageLengthMax),
    type: error.name.slice(0, 256),
    ...(error.stack === undefined ? {} : { stack: error.stack.slice(0, stackLengthMax) }),
  };
}

const isTransient = (refusal: Refusal): boolean =>
  refusal.code === 'timeout' || refusal.code === 'unavailable';
