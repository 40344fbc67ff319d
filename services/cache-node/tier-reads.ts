import { type Deferred, deferred } from './deferred.ts';

/** Keys of one question to the backend, and questions under way at once: what they bring is held in memory. */
const keysMax = 500;
const questionsMax = 4;

export interface TierReadsOptions {
  /** Asks the backend, and takes in what it has of those keys that `isWanted` says are still to be taken in. */
  readonly read: (keys: readonly string[], isWanted: (key: string) => boolean) => Promise<void>;
  /** A question must be answered by then. */
  readonly watch: (untilMs: number) => () => void;
}

interface Question {
  /** Keys that are not to be taken in, since they changed meanwhile, are no longer here. */
  readonly keys: Set<string>;
  readonly answered: Deferred;
  readonly unwatch: () => void;
}

/**
 * Reads from the backend: all keys that are asked for in one turn of the event loop in one question, each key in one
 * question at a time, whoever asks.
 */
export class TierReads {
  readonly #options: TierReadsOptions;
  #gathering: Question | undefined;
  readonly #waiting: Question[] = [];
  readonly #underWay = new Set<Question>();

  constructor(options: TierReadsOptions) {
    this.#options = options;
  }

  /** Resolves once the backend was asked for all of the keys, or is no longer asked. Never rejects. */
  async fetch(keys: readonly string[], untilMs: number): Promise<void> {
    await Promise.all(new Set(keys.map((key) => this.#questionOf(key, untilMs).answered.promise)));
  }

  /** What the backend says of the key is old from now on. */
  changed(key: string): void {
    this.#gathering?.keys.delete(key);
    for (const question of this.#waiting) question.keys.delete(key);
    for (const question of this.#underWay) question.keys.delete(key);
  }

  allChanged(): void {
    for (const question of this.#all()) question.keys.clear();
  }

  /** Nobody waits any longer, and what still comes is of no use. */
  abandon(): void {
    for (const question of this.#all()) {
      question.keys.clear();
      question.unwatch();
      question.answered.resolve();
    }
    this.#gathering = undefined;
    this.#waiting.length = 0;
    this.#underWay.clear();
  }

  #questionOf(key: string, untilMs: number): Question {
    for (const question of this.#all()) if (question.keys.has(key)) return question;
    if (this.#gathering !== undefined && this.#gathering.keys.size >= keysMax) this.#ask();
    this.#gathering ??= this.#begin(untilMs);
    this.#gathering.keys.add(key);
    return this.#gathering;
  }

  #begin(untilMs: number): Question {
    const question = { keys: new Set<string>(), answered: deferred(), unwatch: this.#options.watch(untilMs) };
    queueMicrotask(() => {
      if (this.#gathering === question) this.#ask();
    });
    return question;
  }

  #ask(): void {
    if (this.#gathering !== undefined) this.#waiting.push(this.#gathering);
    this.#gathering = undefined;
    this.#askNext();
  }

  #askNext(): void {
    while (this.#underWay.size < questionsMax) {
      const question = this.#waiting.shift();
      if (question === undefined) return;
      this.#underWay.add(question);
      void this.#run(question);
    }
  }

  async #run(question: Question): Promise<void> {
    const { keys, answered, unwatch } = question;
    if (keys.size > 0) await this.#options.read([...keys], (key) => keys.has(key)).catch(() => undefined);
    unwatch();
    answered.resolve();
    this.#underWay.delete(question);
    this.#askNext();
  }

  #all(): readonly Question[] {
    const asked = [...this.#underWay, ...this.#waiting];
    return this.#gathering === undefined ? asked : [...asked, this.#gathering];
  }
}
