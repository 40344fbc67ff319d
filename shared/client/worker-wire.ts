import { randomUUID } from 'node:crypto';
import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import type { ChildView } from '#shared/protocol/queue-more-schemas.ts';
import type { LeasedItem } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { briefPause, isTransient } from './asked-again.ts';
import type { BrokerWatch } from './broker-watch.ts';
import type { RunningJob } from './job.ts';
import { requestReply } from './request.ts';
import type { SettlingOperation } from './settlement.ts';

export interface WorkerWireOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly brokers: BrokerWatch;
  readonly queue: string;
  readonly leaseMs: number;
  readonly name: string | undefined;
}

/** What became of each item of a settling message, in order, and the items that were fetched with it. */
export interface Settled {
  readonly items: readonly { readonly error?: Refusal }[];
  readonly next?: readonly LeasedItem[];
}

const waitMs = 20_000;

/** With the pauses between them some seconds: where NATS was away, the brokers may need a moment longer than a client. */
const triesAgain = 20;

/** What a worker asks the broker. Refusals are values; nothing here throws. */
export class WorkerWire {
  readonly #options: WorkerWireOptions;

  constructor(options: WorkerWireOptions) {
    this.#options = options;
  }

  /**
   * Waits for items; an empty list when none came. Asked under a name, so that a reply that was lost comes again, and
   * that several questions under way bring the same items: whichever has some. One that has none may be an older one.
   */
  dequeue(max: number): Promise<Result<readonly LeasedItem[]>> {
    const options = { timeoutMs: waitMs + 5_000, headers: { 'Nats-Msg-Id': randomUUID() } };
    const body = this.#dequeueBody(max, waitMs);
    return new Promise((resolve) => {
      let asked = 0;
      let triesLeft = triesAgain;
      let given: readonly LeasedItem[] | undefined;
      const ask = async (): Promise<void> => {
        asked += 1;
        const number = asked;
        const reply = itemsOf(await this.#request('dequeue', body, options));
        if (given !== undefined) return this.#handBackNew(given, reply);
        const hasItems = reply.ok && reply.value.length > 0;
        if (!hasItems && number !== asked) return;
        if (!reply.ok && triesLeft > 0 && this.#isWorthAnother(reply.error, number)) {
          triesLeft -= 1;
          if (reply.error.code === 'unavailable') await briefPause(this.#options.clock);
          if (number === asked && given === undefined) await ask();
          return;
        }
        given = reply.ok ? reply.value : [];
        stop();
        resolve(reply);
      };
      const stop = this.#options.brokers.onNew(() => void ask());
      void ask();
    });
  }

  /**
   * A question that waited on when another was answered: once what that brought has ended, it can bring more, which
   * nobody expects. What it repeats is in good hands.
   */
  async #handBackNew(given: readonly LeasedItem[], late: Result<readonly LeasedItem[]>): Promise<void> {
    if (!late.ok) return;
    const tokens = new Map(given.map(({ id, token }) => [id, token]));
    const texts = late.value
      .filter(({ id, token }) => tokens.get(id) !== token)
      .map(({ id, token }) => `{"id":"${id}","token":${token}}`);
    if (texts.length > 0) await this.settle('release', { texts, fetch: 0, onFault: () => undefined });
  }

  /**
   * The first question of a worker that finds nobody is answered so; one that was served before has only to wait. On a
   * connection that was closed for good there is nothing to wait for.
   */
  #isWorthAnother({ code }: Refusal, question: number): boolean {
    if (this.#options.nats.connection.isClosed()) return false;
    return code === 'timeout' ? question === 1 : code === 'unavailable' && question > 1;
  }

  /** Asks for what is there now. */
  async dequeueNow(max: number): Promise<Result<readonly LeasedItem[]>> {
    return itemsOf(await this.#request('dequeue', this.#dequeueBody(max, 0)));
  }

  /**
   * Says how items went, again and again until it is answered: repeating an outcome gives the first answer. At once when
   * another broker serves, or the connection was lost: the answer may never come. What a late one brings along is handed
   * back.
   * @param texts items as JSON text
   * @param fetch how many items to bring along, 0 for none
   * @param onFault hears of each try that was not answered
   */
  settle(
    operation: SettlingOperation,
    {
      texts,
      fetch,
      onFault,
    }: { texts: readonly string[]; fetch: number; onFault: (refusal: Refusal) => void },
  ): Promise<Result<Settled>> {
    const { leaseMs, clock, brokers, nats } = this.#options;
    const fetched = fetch > 0 ? `,"fetch":{"max":${fetch},"lease":${leaseMs}}` : '';
    const body = Buffer.from(`{"items":[${texts.join(',')}]${fetched}}`);
    const deadline = clock.monotonicMs() + leaseMs;
    // Resolved as soon as the answer is here, as `dequeue` is: items go to the handlers in the order of the answers.
    return new Promise((resolve) => {
      let asked = 0;
      let isOver = false;
      const ask = async (): Promise<void> => {
        asked += 1;
        const number = asked;
        const reply = await this.#request(operation, body);
        if (isOver) return this.#handBackNew([], reply.ok ? itemsAlong(reply.value as Settled) : reply);
        // Closed for good: nobody would ever answer, and the trying would keep the process alive.
        const isLast = clock.monotonicMs() >= deadline || nats.connection.isClosed();
        if (reply.ok || !isTransient(reply.error) || isLast) {
          isOver = true;
          stop();
          return resolve(reply as Result<Settled>);
        }
        onFault(reply.error);
        await briefPause(clock);
        if (number === asked) await ask();
      };
      const stop = brokers.onNew(() => void ask());
      void ask();
    });
  }

  /** Renews leases here and now: which of them still hold, in order. When nobody answers, they are taken to hold. */
  async stillHeld(items: readonly LeasedItem[]): Promise<readonly boolean[]> {
    const { leaseMs } = this.#options;
    const body = { items: items.map(({ id, token }) => ({ id, token, lease: leaseMs })) };
    const reply = await this.#request('extend', body);
    if (!reply.ok) return items.map(() => true);
    return (reply.value as Settled).items.map((answer) => answer.error === undefined);
  }

  /** Sends a job's log lines, and its progress note (JSON text), which also renews its lease. */
  sendNotes(job: RunningJob, { lines, note }: { lines: readonly string[]; note?: string | undefined }) {
    const sent: Promise<Result<unknown>>[] = [];
    if (lines.length > 0) sent.push(this.#request('log', { id: job.id, token: job.token, lines }));
    if (note !== undefined) {
      const lease = this.#options.leaseMs;
      const text = `{"id":"${job.id}","token":${job.token},"lease":${lease},"progress":${note}}`;
      sent.push(this.#request('extend', Buffer.from(text)));
    }
    return Promise.all(sent);
  }

  async children(job: RunningJob): Promise<Result<readonly ChildView[]>> {
    const reply = await this.#request('children', { id: job.id });
    return reply.ok ? accept((reply.value as { items: readonly ChildView[] }).items) : reply;
  }

  #dequeueBody(max: number, wait: number): object {
    const { leaseMs, name } = this.#options;
    return { max, wait, lease: leaseMs, ...(name === undefined ? {} : { worker: name }) };
  }

  #request(
    operation: string,
    body: unknown,
    options: { timeoutMs?: number; headers?: Record<string, string> } = {},
  ): Promise<Result<unknown>> {
    const { nats, subjects, queue } = this.#options;
    return requestReply(nats, subjects.queue(queue, operation), body, options);
  }
}

const itemsAlong = ({ next = [] }: Settled): Result<readonly LeasedItem[]> => accept(next);

const itemsOf = (reply: Result<unknown>): Result<readonly LeasedItem[]> =>
  reply.ok ? accept((reply.value as { readonly items: readonly LeasedItem[] }).items) : reply;
