import { type NatsConnection, connect } from '@nats-io/transport-node';
import type { SeededRandom } from '#tests/support/seeded-random.ts';

export interface CacheLoadOptions {
  readonly url: string;
  readonly namespace: string;
  readonly random: SeededRandom;
  /** A caller's own patience with one call. */
  readonly patienceMs: number;
}

export interface LoadSum {
  answered: number;
  refused: number;
  unanswered: number;
  degraded: number;
  hits: number;
  misses: number;
}

/** What the writer of a key knows of it: numbers that only grow, one for each write or deletion. */
interface KeyStory {
  next: number;
  /** The last that was answered. */
  answered: number;
  answeredIsDeletion: boolean;
}

const keyCount = 40;
const writers = 8;
const readers = 8;

/**
 * Writers and readers of some keys. Each key has one writer, who writes one number after the other and deletes in between:
 * so a reader can tell what it must not see any more. `calm` says from when on every call must be answered in time.
 */
export class CacheLoad {
  readonly sum: LoadSum = { answered: 0, refused: 0, unanswered: 0, degraded: 0, hits: 0, misses: 0 };
  /** What must not be: stale reads, and calls that were late, unanswered or refused in calm times. */
  readonly faults: string[] = [];
  readonly #options: CacheLoadOptions;
  readonly #stories: KeyStory[] = Array.from({ length: keyCount }, () => ({
    next: 0,
    answered: 0,
    answeredIsDeletion: true,
  }));
  readonly #connection: NatsConnection;
  readonly #running: Promise<void>[] = [];
  #isOver = false;
  #calmSinceMs = Infinity;
  #calmMsMax = 0;

  private constructor(options: CacheLoadOptions, connection: NatsConnection) {
    this.#options = options;
    this.#connection = connection;
  }

  static async begin(options: CacheLoadOptions): Promise<CacheLoad> {
    const load = new CacheLoad(options, await connect({ servers: options.url }));
    for (let writer = 0; writer < writers; writer += 1) load.#running.push(load.#write(writer));
    for (let reader = 0; reader < readers; reader += 1) load.#running.push(load.#read());
    return load;
  }

  /** From now on calls must be answered, without an error, within so many milliseconds. */
  calm(msMax: number): void {
    this.#calmSinceMs = performance.now();
    this.#calmMsMax = msMax;
  }

  stormy(): void {
    this.#calmSinceMs = Infinity;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
    await this.#connection.close();
  }

  async #write(writer: number): Promise<void> {
    const { random } = this.#options;
    while (!this.#isOver) {
      const at = writer + writers * random.integer(0, keyCount / writers - 1);
      const story = this.#stories[at];
      if (story === undefined) return;
      story.next += 1;
      const number = story.next;
      const isDeletion = random.chance(0.3);
      const body = isDeletion ? { key: `k${at}` } : { key: `k${at}`, value: number };
      const reply = await this.#ask(isDeletion ? 'delete' : 'set', body);
      if (reply === undefined) continue;
      story.answered = number;
      story.answeredIsDeletion = isDeletion;
    }
  }

  async #read(): Promise<void> {
    const { random } = this.#options;
    while (!this.#isOver) {
      const at = random.integer(0, keyCount - 1);
      const before = { ...this.#stories[at] } as KeyStory;
      const reply = await this.#ask('get', { key: `k${at}` });
      if (reply === undefined) continue;
      const { hit, value = 0 } = reply as { hit: boolean; value?: number };
      this.sum[hit ? 'hits' : 'misses'] += 1;
      if (!hit || value > before.answered) continue;
      if (value === before.answered && !before.answeredIsDeletion) continue;
      const what = before.answeredIsDeletion ? 'deletion' : 'write';
      this.faults.push(`k${at} was ${value} after ${what} ${before.answered} was answered`);
    }
  }

  async #ask(operation: string, body: object): Promise<unknown> {
    const { namespace, patienceMs } = this.#options;
    const startedMs = performance.now();
    const subject = `trivet.cache.${namespace}.${operation}`;
    try {
      const reply = await this.#connection.request(subject, JSON.stringify(body), { timeout: patienceMs });
      const ms = performance.now() - startedMs;
      const code = reply.headers?.get('Nats-Service-Error') ?? '';
      const isCalm = startedMs >= this.#calmSinceMs;
      if (isCalm && ms > this.#calmMsMax) this.faults.push(`${operation} took ${ms.toFixed(0)} ms`);
      if (isCalm && code !== '') this.faults.push(`${operation} was refused in a calm: ${code}`);
      this.sum[code === '' ? 'answered' : 'refused'] += 1;
      if (reply.headers?.get('Trivet-Degraded') === 'true') this.sum.degraded += 1;
      return code === '' ? reply.json() : await this.#pause();
    } catch (error) {
      this.sum.unanswered += 1;
      if (startedMs >= this.#calmSinceMs) this.faults.push(`${operation} failed in a calm: ${String(error)}`);
      if (performance.now() - startedMs > patienceMs + 1_000) this.faults.push('a call outlived its caller');
      return this.#pause();
    }
  }

  /** Who was not answered does not ask at once: it would ask nobody but itself. */
  async #pause(): Promise<undefined> {
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 20);
    });
    return undefined;
  }
}
