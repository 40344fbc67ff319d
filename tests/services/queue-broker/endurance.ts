import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { expect } from 'vitest';
import { type Audit, auditLog } from '#tests/support/log-auditor.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { type Leased, type RunningQueue, headersOf, leased, replyOf } from './running-queue.ts';

/** Something that happens to the cluster while items are under way. */
export interface Blow {
  /** Share of the whole work that is done when it falls, in (0, 1). */
  readonly at: number;
  readonly fall: () => Promise<void>;
}

export interface EnduranceOptions {
  readonly queue: RunningQueue;
  /** Half of them by requests, half by plain publishes. */
  readonly items: number;
  readonly blows: readonly Blow[];
  /** How long the rest may take, once the producers have their acknowledgements. */
  readonly settleMsMax?: number;
}

/** What producers were told, against what the log holds. */
export interface Endured {
  readonly audit: Audit;
  /** `<queue> <key>` of every item that was acknowledged to its producer. */
  readonly acknowledged: readonly string[];
}

const queues = ['mail', 'images', 'reports', 'billing', 'search', 'audit'] as const;
const producers = 5;
const workers = 4;
const batchItems = 100;
/** Short, so that what a killed broker left unanswered is asked again soon. */
const answerMsMax = 2_000;

/** Random numbers of this run: `SEED` repeats one. The seed is printed, since a failure is of no use without it. */
export function printedSeed(): SeededRandom {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`SEED=${seed}`);
  return new SeededRandom(seed);
}

/** Moments for `count` blows, each in a share of the work of its own, so that no two fall together. */
export const moments = (count: number, random: SeededRandom): readonly number[] =>
  Array.from({ length: count }, (_, index) => 0.03 + (0.92 * (index + random.next01())) / count);

/** Produces and works off all items while the blows fall; returns when nothing is under way any more. */
export async function endure(options: EnduranceOptions): Promise<Endured> {
  const { queue, items, blows } = options;
  const client = await connect({
    servers: queue.server.url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  const progress = new Progress(items * 2);
  const acknowledged: string[] = [];
  const stopped = new AbortController();
  const working = Array.from({ length: workers }, (_, worker) =>
    work(client, worker, progress, stopped.signal),
  );
  try {
    const producing = Array.from({ length: producers }, (_, producer) =>
      produce(client, producer, items / producers, progress, acknowledged),
    );
    // Together: a broker that does not come up again must end the run, not leave it waiting.
    await Promise.all([strike(blows, progress), ...producing]);
    await settled(client, items, options.settleMsMax ?? 60_000);
    stopped.abort();
    await Promise.all(working);
  } finally {
    stopped.abort();
    await client.close();
    await Promise.allSettled(working);
  }
  return { audit: await auditLog(queue.server), acknowledged };
}

/** What must hold whatever happened: nothing that was acknowledged is lost or done twice, and the log is sound. */
export function expectNothingLost({ audit, acknowledged }: Endured, items: number): void {
  expect(audit.faults).toEqual([]);
  const byName = new Map([...audit.items.values()].map((item) => [`${item.queue} ${item.key}`, item]));
  expect(audit.items.size).toBe(items);
  expect(byName.size).toBe(items);
  expect(new Set(acknowledged).size).toBe(items);
  const wrong = acknowledged.filter((name) => {
    const item = byName.get(name);
    return item === undefined || item.ends !== 1 || !['done', 'failed'].includes(item.state);
  });
  expect(wrong).toEqual([]);
}

/** How far the run has come: acknowledged enqueues and finished items together. */
class Progress {
  readonly #whole: number;
  #steps = 0;
  #waiting: { readonly steps: number; readonly resolve: () => void }[] = [];

  constructor(whole: number) {
    this.#whole = whole;
  }

  add(steps: number): void {
    this.#steps += steps;
    for (const one of this.#waiting) if (this.#steps >= one.steps) one.resolve();
    this.#waiting = this.#waiting.filter((one) => this.#steps < one.steps);
  }

  reached(share: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ steps: this.#whole * share, resolve });
      this.add(0);
    });
  }
}

async function strike(blows: readonly Blow[], progress: Progress): Promise<void> {
  for (const blow of blows) {
    await progress.reached(blow.at);
    await blow.fall();
  }
}

/** Batch after batch, by turns as a request and as plain publishes, each until it is acknowledged. */
async function produce(
  client: NatsConnection,
  producer: number,
  count: number,
  progress: Progress,
  acknowledged: string[],
): Promise<void> {
  for (let made = 0, batch = 0; made < count; batch += 1) {
    const size = Math.min(batchItems, count - made);
    const queue = queues[(producer + batch) % queues.length] ?? queues[0];
    const keys = Array.from({ length: size }, (_, index) => `${producer}-${made + index}`);
    // Six queues, five producers and three ways: each queue gets all of them over time.
    if (batch % 2 === 1) await publishAll(client, queue, keys);
    else if (batch % 10 === 0) await Promise.all(keys.map((key) => enqueueOne(client, queue, key)));
    else await enqueueMany(client, queue, keys);
    acknowledged.push(...keys.map((key) => `${queue} ${key}`));
    progress.add(size);
    made += size;
  }
}

async function publishAll(client: NatsConnection, queue: string, keys: readonly string[]): Promise<void> {
  const js = jetstream(client);
  const publish = (msgID: string) =>
    untilAnswered(client, () =>
      js.publish(`trivet.jobs.${queue}`, `{"key":"${msgID}"}`, { msgID, timeout: 2_000 }),
    );
  await Promise.all(keys.map(publish));
}

async function enqueueOne(client: NatsConnection, queue: string, key: string): Promise<void> {
  const values = { 'Nats-Msg-Id': key };
  await untilAnswered(client, () => ask(client, queue, 'enqueue', { key }, values));
}

async function enqueueMany(client: NatsConnection, queue: string, keys: readonly string[]): Promise<void> {
  const items = keys.map((key) => ({ payload: { key }, key }));
  const reply = await untilAnswered(client, () => ask(client, queue, 'enqueue-many', { items }));
  const refused = (reply.body as { items: object[] }).items.filter((item) => 'error' in item);
  if (refused.length > 0) throw new Error(`items were refused: ${JSON.stringify(refused[0])}`);
}

/** Goes round the queues: dequeues, then completes most, fails some for good and some to be retried. */
async function work(
  client: NatsConnection,
  worker: number,
  progress: Progress,
  stopped: AbortSignal,
): Promise<void> {
  for (let round = 0; !stopped.aborted; round += 1) {
    const queue = queues[(worker + round) % queues.length] ?? queues[0];
    const claim = { 'Nats-Msg-Id': `${worker}-${round}` };
    const body = { max: 200, wait: '100ms', lease: '3s', worker: `worker-${worker}` };
    const items = leased(await untilAnswered(client, () => ask(client, queue, 'dequeue', body, claim)));
    const ended = await Promise.all([
      finish(client, queue, 'complete', items.filter((item) => fate(item) === 'done').map(completion)),
      finish(client, queue, 'fail', items.filter((item) => fate(item) !== 'done').map(failure)),
    ]);
    progress.add(ended[0] + ended[1]);
  }
}

/** By the item's own id and attempt, so that each run has failures and retries in the same measure. */
function fate(item: Leased): 'done' | 'failed' | 'retry' {
  const [byte = 0] = createHash('sha1').update(item.id).digest();
  if (byte < 6) return 'failed';
  return byte < 18 && item.attempt === 1 ? 'retry' : 'done';
}

const completion = ({ id, token }: Leased) => ({ id, token, result: { ok: true } });

const failure = (item: Leased) => ({
  id: item.id,
  token: item.token,
  error: { message: 'meant to fail', type: 'Meant' },
  ...(fate(item) === 'retry' ? { delay: '20ms' } : { retry: false }),
});

/** @returns how many came into a final state; the others were lost to an expired lease, or are retried */
async function finish(
  client: NatsConnection,
  queue: string,
  operation: 'complete' | 'fail',
  items: readonly object[],
): Promise<number> {
  if (items.length === 0) return 0;
  const reply = await untilAnswered(client, () => ask(client, queue, operation, { items }));
  const states = (reply.body as { items: { state?: string }[] }).items.map((item) => item.state);
  return states.filter((state) => state === 'done' || state === 'failed').length;
}

async function ask(
  client: NatsConnection,
  queue: string,
  operation: string,
  body: object,
  values: Readonly<Record<string, string>> = {},
) {
  const subject = `trivet.queue.${queue}.${operation}`;
  const options = { headers: headersOf(values), timeout: answerMsMax };
  const reply = replyOf(await client.request(subject, JSON.stringify(body), options));
  if (reply.status === 0) return reply;
  throw new Error(`${subject} was refused: ${JSON.stringify(reply.body)}`);
}

/** Asks again until there is an answer: what every careful client does. What is repeated carries the same key. */
async function untilAnswered<T>(client: NatsConnection, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (client.isClosed()) throw error;
      const problem = error instanceof Error ? error.message : String(error);
      if (/was refused/.test(problem) && !/"code":"(unavailable|timeout)"/.test(problem)) throw error;
      // Without a broker NATS says "no responders" at once; a breath keeps this from being a busy loop.
      await delay(50);
    }
  }
}

/** Waits until the broker's figures show nothing under way: when to look, not what to believe. */
async function settled(client: NatsConnection, items: number, timeout: number): Promise<void> {
  const ended = async (): Promise<number> => {
    const reply = await client.request('trivet.queue.stats', '', { timeout: 1_000 }).catch(() => undefined);
    const all = reply?.json<{ queues?: { counts: Record<string, number> }[] }>().queues ?? [];
    return all.reduce((sum, { counts }) => sum + (counts['done'] ?? 0) + (counts['failed'] ?? 0), 0);
  };
  await expect.poll(ended, { interval: 200, timeout }).toBeGreaterThanOrEqual(items);
}
