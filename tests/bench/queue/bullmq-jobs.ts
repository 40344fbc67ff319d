import { Queue, Worker } from 'bullmq';
import type { JobSystem, NewJob, WorkOptions, Working } from './job-system.ts';

/** BullMQ as its own documentation uses it. */
export class BullmqJobs implements JobSystem {
  readonly #connection: { host: string; port: number; maxRetriesPerRequest: null };
  readonly #queues = new Map<string, Queue>();

  constructor(port: number) {
    this.#connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
  }

  add(queue: string, payload: unknown): Promise<unknown> {
    return this.#queue(queue).add('job', payload);
  }

  async addMany(queue: string, jobs: readonly NewJob[]): Promise<void> {
    const added = jobs.map(({ payload, band }) => ({
      name: 'job',
      data: payload,
      ...(band === undefined ? {} : { opts: { priority: band + 1 } }),
    }));
    await this.#queue(queue).addBulk(added);
  }

  /** Retention is the worker's matter here; this is where the queue's connection is made, before any clock runs. */
  async prepare(queue: string): Promise<void> {
    await this.#queue(queue).waitUntilReady();
  }

  async work(queue: string, { concurrency, keepDone, handle, handled }: WorkOptions): Promise<Working> {
    const worker = new Worker(queue, ({ data }) => handle(data), {
      connection: this.#connection,
      concurrency,
      ...(keepDone ? {} : { removeOnComplete: { count: 0 } }),
    });
    // Said once Redis has the outcome, so nothing is left to settle.
    worker.on('completed', handled);
    await worker.waitUntilReady();
    return { settle: () => Promise.resolve(), stop: () => worker.close() };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }

  #queue(name: string): Queue {
    const queue = this.#queues.get(name) ?? new Queue(name, { connection: this.#connection });
    this.#queues.set(name, queue);
    return queue;
  }
}
