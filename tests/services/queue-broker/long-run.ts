import { setTimeout as delay } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { type Leased, type RunningQueue, headersOf, leased, partitions, replyOf } from './running-queue.ts';

export interface LongRunOptions {
  readonly queue: RunningQueue;
  readonly items: number;
  /** Falls when that share of the items is completed. */
  readonly blows: readonly { readonly at: number; readonly fall: () => Promise<void> }[];
}

/** What became of the items, by the number in their payload. */
export interface LongRun {
  readonly lost: readonly number[];
  /** Numbers that more than one item had. */
  readonly doubled: readonly number[];
  /** Completions that the broker has counted. */
  readonly finished: number;
  /** Largest size that each partition's log was seen to have, in bytes. */
  readonly logBytesMax: readonly number[];
}

export interface LogState {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly bytes: number;
}

const queues = ['mail', 'images', 'reports', 'billing', 'search', 'audit'] as const;
const batchItems = 1_000;
const workers = 3;
const answerMsMax = 5_000;
// Longer than a lease: what was handed out and got lost on the way comes again after it.
const stallMsMax = 40_000;
const padding = 'x'.repeat(60);

/**
 * Sends items through the broker for as long as it takes, with a log that holds a small part of them. Every item is
 * followed by its number from the producer to the answer that says that it is done.
 */
export async function runLong({ queue, items, blows }: LongRunOptions): Promise<LongRun> {
  const client = await connect({
    servers: queue.server.url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  // What is finished and what its key stood for soon goes: the table must not grow with what has passed.
  const settings = { retention: { done: { count: 1_000 } }, dedupWindow: '2m' };
  await Promise.all(queues.map((name) => ask(client, name, 'configure', settings)));
  const tally = new Tally(items);
  const ended = new AbortController();
  const watching = watchLogs(queue, ended.signal);
  const stalled = failOnStall(queue, client, tally, ended.signal);
  let finished = 0;
  try {
    const falling = [...blows];
    const strike = async (): Promise<void> => {
      for (const { at, fall } of falling) {
        await tally.reached(items * at);
        await fall();
      }
    };
    const done = Promise.all([
      strike(),
      ...queues.map((name, index) => produce(client, name, index, items)),
      ...Array.from({ length: workers }, (_, worker) => work(client, worker, tally)),
    ]);
    await Promise.race([done, stalled]);
    for (const name of queues) {
      const { body } = await ask<{ finished: { done: number } }>(client, name, 'stats', {});
      finished += body.finished.done;
    }
  } finally {
    ended.abort();
    await client.close();
  }
  return { ...tally.result(), finished, logBytesMax: await watching };
}

/** Where each partition's log begins and ends. */
export async function logStates(queue: RunningQueue): Promise<readonly LogState[]> {
  const service = await connect({
    servers: queue.server.url,
    user: queue.server.user,
    pass: queue.server.password,
    inboxPrefix: '_INBOX_TRIVET',
  });
  try {
    const manager = await jetstreamManager(service);
    const infos = await Promise.all(
      Array.from({ length: partitions }, (_, partition) => manager.streams.info(`TRIVET_LOG_${partition}`)),
    );
    return infos.map(({ state }) => ({
      firstSequence: state.first_seq,
      lastSequence: state.last_seq,
      bytes: state.bytes,
    }));
  } finally {
    await service.close();
  }
}

/** Rejects, with all that can be known from outside, when no item is completed for a while. */
async function failOnStall(
  queue: RunningQueue,
  client: NatsConnection,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  let [completed, sinceMs] = [0, performance.now()];
  while (!signal.aborted) {
    await delay(500);
    if (tally.completed !== completed) [completed, sinceMs] = [tally.completed, performance.now()];
    if (performance.now() - sinceMs < stallMsMax) continue;
    const figures = await Promise.all(
      queues.map((name) =>
        client.request(`trivet.queue.${name}.stats`, '{}', { timeout: answerMsMax }).then(
          (reply) => reply.string(),
          (error: unknown) => `${name}: ${String(error)}`,
        ),
      ),
    );
    const logs = await logStates(queue).catch(String);
    throw new Error(
      [
        `nothing was completed for ${stallMsMax} ms; ${completed} items are`,
        JSON.stringify(logs),
        ...figures,
        ...queue.brokers.map((broker) => `broker ${broker.pid}:\n${broker.output()}`),
      ].join('\n'),
    );
  }
}

async function watchLogs(queue: RunningQueue, signal: AbortSignal): Promise<readonly number[]> {
  const largest = Array.from({ length: partitions }, () => 0);
  while (!signal.aborted) {
    const states = await logStates(queue).catch(() => []);
    for (const [partition, { bytes }] of states.entries())
      largest[partition] = Math.max(largest[partition] ?? 0, bytes);
    await delay(500);
  }
  return largest;
}

/** Counts completions by number, and tells apart two items of one number. */
class Tally {
  readonly #items: number;
  readonly #completedBy = new Map<number, string>();
  readonly #doubled: number[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(items: number) {
    this.#items = items;
  }

  get completed(): number {
    return this.#completedBy.size;
  }

  get isComplete(): boolean {
    return this.completed >= this.#items;
  }

  add(number: number, id: string): void {
    const known = this.#completedBy.get(number);
    if (known !== undefined && known !== id) this.#doubled.push(number);
    this.#completedBy.set(number, id);
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.#completedBy.size >= count) resolve();
      return this.#completedBy.size < count;
    });
  }

  reached(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ count, resolve });
    });
  }

  result() {
    const all = Array.from({ length: this.#items }, (_, number) => number);
    return { lost: all.filter((number) => !this.#completedBy.has(number)), doubled: this.#doubled };
  }
}

/** Every queue gets its share of the numbers, in batches, each until it is acknowledged. */
async function produce(client: NatsConnection, queue: string, index: number, items: number): Promise<void> {
  const numbers = Array.from({ length: items }, (_, number) => number).filter(
    (number) => number % queues.length === index,
  );
  for (let at = 0; at < numbers.length; at += batchItems) {
    const batch = numbers.slice(at, at + batchItems);
    const body = { items: batch.map((n) => ({ payload: { n, padding }, key: String(n) })) };
    const answer = await ask<{ items: { error?: { code: string } }[] }>(client, queue, 'enqueue-many', body);
    const refused = answer.body.items.find(({ error }) => error !== undefined);
    if (refused !== undefined) throw new Error(`an item was refused: ${JSON.stringify(refused)}`);
  }
}

async function work(client: NatsConnection, worker: number, tally: Tally): Promise<void> {
  for (let round = 0; !tally.isComplete; round += 1) {
    const queue = queues[(worker + round) % queues.length] ?? queues[0];
    const claim = { 'Nats-Msg-Id': `${worker}-${round}` };
    const body = { max: batchItems, wait: '50ms', lease: '20s' };
    const items = leased({ ...noReply, ...(await ask(client, queue, 'dequeue', body, claim)) });
    if (items.length === 0) continue;
    const answer = await ask<{ items: { state?: string; error?: { code: string } }[] }>(
      client,
      queue,
      'complete',
      { items: items.map(({ id, token }) => ({ id, token })) },
    );
    for (const [index, item] of items.entries()) {
      const { state, error } = answer.body.items[index] ?? {};
      // The answer to the first request may have been lost with the broker; by the second one the retention of a
      // thousand may have removed the item. `finished` says whether it was completed.
      const isGone = answer.isRepeated && error?.code === 'not_found';
      if (state === 'done' || isGone) tally.add(numberOf(item), item.id);
    }
  }
}

const noReply = { status: 0, contentType: '' };

const numberOf = ({ payload }: Leased): number => (payload as { n: number }).n;

interface Answer<T> {
  readonly body: T;
  /** Whether it was asked for more than once. */
  readonly isRepeated: boolean;
}

/** Asks until there is an answer that is none of those that say: again, later. */
async function ask<T>(
  client: NatsConnection,
  queue: string,
  operation: string,
  body: object,
  values: Readonly<Record<string, string>> = {},
): Promise<Answer<T>> {
  const subject = `trivet.queue.${queue}.${operation}`;
  for (let isRepeated = false; ; isRepeated = true) {
    const options = { headers: headersOf(values), timeout: answerMsMax };
    const answer = await client
      .request(subject, JSON.stringify(body), options)
      .then(replyOf, () => undefined);
    if (answer?.status === 0) return { body: answer.body as T, isRepeated };
    const code = (answer?.body as { error?: { code?: string } } | undefined)?.error?.code;
    if (code !== undefined && !['unavailable', 'timeout', 'queue_full'].includes(code))
      throw new Error(`${subject} was refused: ${JSON.stringify(answer?.body)}`);
    await delay(50);
  }
}
