import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { moments, printedSeed } from './endurance.ts';
import { type Leased, type Reply, type RunningQueue, replyOf, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeEach(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterEach(() => queue?.stop());

const flows = 200;
const children = 20;
const rootQueues = ['reports', 'orders', 'merge'];
const childQueues = ['mail', 'images', 'billing', 'search', 'audit', 'parse'];
const workers = 4;
/** Flows that producers are ahead of the workers. */
const ahead = 30;

/** Asks again until there is an answer: what is repeated carries the same key or token. */
async function ask(client: NatsConnection, name: string, operation: string, body: object): Promise<Reply> {
  for (;;) {
    try {
      const reply = replyOf(
        await client.request(`trivet.queue.${name}.${operation}`, JSON.stringify(body), { timeout: 3_000 }),
      );
      if (reply.status !== 503 && reply.status !== 504) return reply;
    } catch (error) {
      if (client.isClosed()) throw error;
    }
    await delay(50);
  }
}

/** How many items have ended, and who waits for how many. */
class Progress {
  #ended = 0;
  #waiting: { readonly ended: number; readonly resolve: () => void }[] = [];

  add(): void {
    this.#ended += 1;
    for (const one of this.#waiting) if (this.#ended >= one.ended) one.resolve();
  }

  reached(ended: number): Promise<void> {
    if (this.#ended >= ended) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ ended, resolve }));
  }
}

/** Not all at once: whenever the broker is killed, some flows are being made. */
async function produce(client: NatsConnection, progress: Progress): Promise<void> {
  for (let flow = 0; flow < flows; flow += 1) {
    if (flow > ahead) await progress.reached((flow - ahead) * children);
    const body = {
      payload: { flow },
      key: `flow-${flow}`,
      children: Array.from({ length: children }, (_, index) => ({
        queue: childQueues[(flow + index) % childQueues.length],
        payload: { flow, index },
      })),
    };
    const reply = await ask(client, rootQueues[flow % rootQueues.length] ?? '', 'enqueue-flow', body);
    expect(reply).toMatchObject({ status: 0, body: { children } });
  }
}

interface Left {
  readonly state: string;
  readonly result?: unknown;
}

/** Takes and completes; a parent is asked what its children left, which must be all of it. */
async function work(
  client: NatsConnection,
  progress: Progress,
  signal: AbortSignal,
  wrong: string[],
): Promise<void> {
  while (!signal.aborted) {
    for (const name of [...childQueues, ...rootQueues]) {
      const taken = await ask(client, name, 'dequeue', { max: 40, lease: '3s' });
      for (const { id, token, payload } of (taken.body as { items: readonly Leased[] }).items) {
        const { index } = payload as { index?: number };
        if (index === undefined) await checkParent(client, name, id, wrong);
        const ended = await ask(client, name, 'complete', { id, token, result: index ?? 'all' });
        if (ended.status === 0) progress.add();
      }
    }
  }
}

async function checkParent(client: NatsConnection, name: string, id: string, wrong: string[]): Promise<void> {
  const reply = await ask(client, name, 'children', { id });
  const { items } = reply.body as { items: readonly Left[] };
  const results = items.map(({ result }) => result).sort((a, b) => Number(a) - Number(b));
  const expected = Array.from({ length: children }, (_, index) => index);
  if (JSON.stringify(results) !== JSON.stringify(expected))
    wrong.push(`${id} ran with ${JSON.stringify(items)}`);
}

async function killBroker(forgets: boolean): Promise<void> {
  await broker.kill();
  if (forgets) await rm(queue.data, { recursive: true });
  broker = await queue.startBroker();
}

test(
  'every flow runs once, from its leaves to its root, however often the broker is killed',
  { timeout: 240_000 },
  async () => {
    const client = await connect({
      servers: queue.server.url,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
    });
    const progress = new Progress();
    const wrong: string[] = [];
    const stopped = new AbortController();
    const all = flows * (children + 1);
    const working = Array.from({ length: workers }, () => work(client, progress, stopped.signal, wrong));
    const blows = moments(5, printedSeed()).map(async (share, blow) => {
      await progress.reached(Math.floor(share * all));
      return blow;
    });
    try {
      const striking = (async () => {
        // One after the other; the fourth one finds nothing but its logs.
        for (const blow of blows) await killBroker((await blow) === 3);
      })();
      await Promise.all([produce(client, progress), striking, progress.reached(all)]);
    } finally {
      stopped.abort();
      await Promise.allSettled(working);
      await client.close();
    }
    await expect.poll(async () => (await auditLog(queue.server)).openFlows, { timeout: 30_000 }).toBe(0);
    const audit = await auditLog(queue.server);
    expect(wrong).toEqual([]);
    expect(audit.faults).toEqual([]);
    expect(audit.items.size).toBe(all);
    expect(audit.members.size).toBe(all);
    const items = [...audit.items.values()];
    expect(items.filter(({ ends, state }) => ends !== 1 || state !== 'done')).toEqual([]);
  },
);
