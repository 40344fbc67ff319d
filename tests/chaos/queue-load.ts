import { setTimeout as delay } from 'node:timers/promises';
import type { Trivet } from '#shared/client/client.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import { untilAnswered } from './until-answered.ts';

/** Where the cluster speaks HTTP. */
export interface Gateway {
  readonly http: string;
  readonly token: string;
}

interface Payload {
  readonly key: string;
}

const queues = ['mail', 'images', 'reports'] as const;
const batchItems = 20;
const breathMs = 40;
/** Shorter than most freezes, so that leases run out as well. */
const lease = '3s';
const settleMsMax = 90_000;

/** Items in, worked off by workers whose handlers fail at times, and what must hold in the end. */
export class QueueLoad {
  readonly #trivet: Trivet;
  readonly #gateway: Gateway;
  readonly #random: SeededRandom;
  readonly #acknowledged = new Map<string, Set<string>>(queues.map((queue) => [queue, new Set()]));
  readonly #handled = new Set<string>();

  constructor(trivet: Trivet, gateway: Gateway, random: SeededRandom) {
    this.#trivet = trivet;
    this.#gateway = gateway;
    this.#random = random;
  }

  get done(): number {
    return this.#handled.size;
  }

  async run(stopped: AbortSignal): Promise<void> {
    for (const queue of queues) {
      const keep = {
        retention: { done: { age: '7d', count: 10_000_000 } },
        maxAttempts: 50,
        backoff: 'fixed:200ms',
      };
      await untilAnswered(() => this.#trivet.queue(queue).configure(keep));
      this.#trivet.worker<Payload>(queue, ({ key }) => this.#handle(`${queue} ${key}`), {
        concurrency: 20,
        lease,
        // Of what happens while processes die there is nothing to say here: the audit says it.
        onError: () => undefined,
      });
    }
    for (let batch = 0; !stopped.aborted; batch += 1) {
      const queue = this.#random.pick(queues);
      const keys = Array.from({ length: batchItems }, (_, index) => `${batch}-${index}`);
      if (batch % 3 === 0) await this.#publish(queue, keys);
      else if (batch % 3 === 1) await this.#add(queue, keys);
      else await this.#post(queue, keys);
      for (const key of keys) this.#acknowledged.get(queue)?.add(key);
      await delay(breathMs);
    }
  }

  /** What is wrong, as sentences; waits until every acknowledged item has come to its end. */
  async audit(): Promise<readonly string[]> {
    const faults: string[] = [];
    for (const queue of queues) {
      const expected = this.#acknowledged.get(queue) ?? new Set();
      await this.#settled(queue, expected.size);
      const seen = new Map<string, number>();
      let unfinished = 0;
      for await (const item of this.#trivet.queue<Payload>(queue).items({ limit: 500 })) {
        const key = item.payload?.key ?? '';
        seen.set(key, (seen.get(key) ?? 0) + 1);
        if (item.state !== 'done') unfinished += 1;
      }
      const lost = [...expected].filter((key) => !seen.has(key));
      const doubled = [...seen].filter(([, count]) => count > 1).map(([key]) => key);
      const unhandled = [...expected].filter((key) => !this.#handled.has(`${queue} ${key}`));
      const say = (keys: readonly string[], what: string): void => {
        if (keys.length > 0) faults.push(`${queue}: ${keys.length} items ${what}, ${keys[0]} among them`);
      };
      say(lost, 'were acknowledged and are gone');
      say(doubled, 'are there more than once under one key');
      say(unhandled, 'were never handled');
      if (unfinished > 0) faults.push(`${queue}: ${unfinished} items did not come to their end`);
    }
    return faults;
  }

  #handle(name: string): void {
    if (this.#random.chance(0.02)) throw new Error('meant to fail');
    this.#handled.add(name);
  }

  async #add(queue: string, keys: readonly string[]): Promise<void> {
    // Each with its key, so that a batch whose answer was lost may be sent again.
    await Promise.all(
      keys.map((key) => untilAnswered(() => this.#trivet.queue<Payload>(queue).add({ key }, { key }))),
    );
  }

  async #publish(queue: string, keys: readonly string[]): Promise<void> {
    const { js } = this.#trivet.nats;
    const subject = `trivet.jobs.${queue}`;
    await Promise.all(
      keys.map((key) =>
        untilAnswered(() => js.publish(subject, JSON.stringify({ key }), { msgID: key, timeout: 2_000 })),
      ),
    );
  }

  async #post(queue: string, keys: readonly string[]): Promise<void> {
    const { http, token } = this.#gateway;
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
    await Promise.all(
      keys.map((key) =>
        untilAnswered(async () => {
          const body = JSON.stringify({ queue_name: queue, payload: { key }, idempotency_key: key });
          const signal = AbortSignal.timeout(5_000);
          const reply = await fetch(`${http}/queue/enqueue`, { method: 'POST', headers, body, signal });
          const text = await reply.text();
          // 201 for a new item, 200 for one that its key stands for already.
          if (!reply.ok) throw new Error(`enqueue over HTTP: ${reply.status} ${text}`);
        }),
      ),
    );
  }

  async #settled(queue: string, count: number): Promise<void> {
    const until = performance.now() + settleMsMax;
    while (performance.now() < until) {
      const { counts } = await untilAnswered(() => this.#trivet.queue(queue).stats());
      if (counts.done >= count) return;
      await delay(200);
    }
  }
}
