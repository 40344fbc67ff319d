import { setTimeout as delay } from 'node:timers/promises';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import type { SeededRandom } from '#tests/support/seeded-random.ts';

export interface CacheLoadOptions {
  readonly url: string;
  readonly namespace: string;
  readonly random: SeededRandom;
  /** A caller's own patience with one call. */
  readonly patienceMs: number;
  /** How long after it was sent a request may still be done of which its caller has heard nothing. */
  readonly lateMsMax: number;
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
  answeredFromMs: number;
  /** By number, when it was sent: of these nothing was heard. */
  readonly unheard: Map<number, number>;
  /** What was asked last of the key, and what was said: for whoever looks for the cause of a fault. */
  readonly told: string[];
}

const toldMax = 12;
/** Who was not answered does not ask at once: it would ask nobody but itself. */
const pauseMs = 20;

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
    answeredFromMs: -Infinity,
    unheard: new Map(),
    told: [],
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
      const fromMs = performance.now();
      const reply = await this.#ask(isDeletion ? 'delete' : 'set', body, story);
      if (reply === 'unheard') story.unheard.set(number, fromMs);
      if (reply === 'unheard' || reply === 'refused') continue;
      story.answered = number;
      story.answeredIsDeletion = isDeletion;
      story.answeredFromMs = fromMs;
    }
  }

  async #read(): Promise<void> {
    const { random } = this.#options;
    while (!this.#isOver) {
      const at = random.integer(0, keyCount - 1);
      const story = this.#stories[at];
      if (story === undefined) return;
      const before = { ...story };
      const reply = await this.#ask('get', { key: `k${at}` }, story);
      if (reply === 'unheard' || reply === 'refused') continue;
      const { hit, value = 0 } = reply as { hit: boolean; value?: number };
      this.sum[hit ? 'hits' : 'misses'] += 1;
      if (!hit || value > before.answered) continue;
      if (value === before.answered && !before.answeredIsDeletion) continue;
      // It may have been done after what was answered, if that was asked for soon enough.
      const sentMs = before.unheard.get(value);
      if (sentMs !== undefined && before.answeredFromMs < sentMs + this.#options.lateMsMax) continue;
      const what = before.answeredIsDeletion ? 'deletion' : 'write';
      const told = story.told.join('\n  ');
      this.faults.push(`k${at} was ${value} after ${what} ${before.answered} was answered:\n  ${told}`);
    }
  }

  async #ask(operation: string, body: object, { told }: KeyStory): Promise<unknown> {
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
      const isDegraded = reply.headers?.get('Trivet-Degraded') === 'true';
      if (isDegraded) this.sum.degraded += 1;
      const how = `${Math.round(startedMs)} + ${Math.round(ms)} ms${isDegraded ? ', degraded' : ''}`;
      told.push(`${operation} ${JSON.stringify(body)} at ${how}: ${reply.string()}`);
      if (told.length > toldMax) told.shift();
      if (code === '') return reply.json();
      await delay(pauseMs);
      return 'refused';
    } catch (error) {
      this.sum.unanswered += 1;
      if (startedMs >= this.#calmSinceMs) this.faults.push(`${operation} failed in a calm: ${String(error)}`);
      if (performance.now() - startedMs > patienceMs + 1_000) this.faults.push('a call outlived its caller');
      told.push(`${operation} ${JSON.stringify(body)} at ${Math.round(startedMs)}: ${String(error)}`);
      await delay(pauseMs);
      return 'unheard';
    }
  }
}
