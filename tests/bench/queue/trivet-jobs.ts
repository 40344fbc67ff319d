import { type Trivet, connect } from '#shared/client/client.ts';
import { requestReply } from '#shared/client/request.ts';
import { TrivetError } from '#shared/protocol/errors.ts';
import type { LeasedItem } from '#shared/protocol/queue-schemas.ts';
import type { JobSystem, NewJob, WorkOptions, Working } from './job-system.ts';

const priorities = ['critical', 'high', 'normal', 'low'] as const;

/** Trivet by its public client; what that has no verb for is asked on the wire. */
export class TrivetJobs implements JobSystem {
  readonly #trivet: Trivet;

  static async connect(url: string): Promise<TrivetJobs> {
    return new TrivetJobs(await connect({ url }));
  }

  constructor(trivet: Trivet) {
    this.#trivet = trivet;
  }

  add(queue: string, payload: unknown): Promise<unknown> {
    return this.#trivet.queue(queue).add(payload);
  }

  async addMany(queue: string, jobs: readonly NewJob[]): Promise<void> {
    const items = jobs.map(({ payload, band, group }) => {
      const priority = band === undefined ? undefined : priorities[band];
      return {
        payload,
        options: {
          ...(priority === undefined ? {} : { priority }),
          ...(group === undefined ? {} : { group }),
        },
      };
    });
    for (const added of await this.#trivet.queue(queue).addMany(items)) {
      if (added.status === 'rejected') throw added.reason;
    }
  }

  async prepare(queue: string, { keepDone }: { readonly keepDone: boolean }): Promise<void> {
    // What is kept by default is more than a run makes.
    if (!keepDone) await this.ask(queue, 'configure', { retention: { done: { count: 0 } } });
  }

  async work(queue: string, { concurrency, handle, handled }: WorkOptions): Promise<Working> {
    const worker = this.#trivet.worker(
      queue,
      async (payload: unknown) => {
        await handle(payload);
        handled();
      },
      { concurrency },
    );
    // It lets its handlers finish and waits for the answer to every outcome.
    const stop = () => worker.stop();
    return Promise.resolve({ settle: stop, stop });
  }

  async dequeue(queue: string, max: number, lease: string): Promise<readonly LeasedItem[]> {
    return ((await this.ask(queue, 'dequeue', { max, lease })) as { items: LeasedItem[] }).items;
  }

  /** One request on the wire; rejects when it is refused. */
  async ask(queue: string, operation: string, body: object): Promise<unknown> {
    const reply = await requestReply(this.#trivet.nats, this.#trivet.subjects.queue(queue, operation), body);
    if (!reply.ok) throw new TrivetError(reply.error);
    return reply.value;
  }

  close(): Promise<void> {
    return this.#trivet.close();
  }
}
