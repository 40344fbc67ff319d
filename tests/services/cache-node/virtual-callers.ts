import assert from 'node:assert/strict';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import type { VirtualClock } from '#tests/support/virtual-clock.ts';

export type Answer = { readonly hit: boolean; readonly value: number } | 'refused' | 'unheard';

export interface Request {
  readonly key: string;
  readonly action: 'get' | 'set' | 'delete';
  readonly value: number;
  readonly hops: number;
  readonly answer: (answer: Answer) => void;
}

/** What the one writer of a key knows of it: numbers that only grow, one for each write or deletion. */
interface Story {
  next: number;
  answered: number;
  answeredIsDeletion: boolean;
  answeredFromMs: number;
  /** By number, when it was sent: of these nothing was heard. */
  readonly unheard: Map<number, number>;
  isBusy: boolean;
  /** What was asked and said, for whoever looks for the cause of a fault. */
  readonly told: string[];
}

export interface VirtualCallersOptions {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly keys: readonly string[];
  /** How long a caller waits. */
  readonly patienceMs: number;
  /** How long after it was sent a request may still be done of which nothing was heard. */
  readonly lateMsMax: number;
  /** Whether what was answered may be missed afterwards. */
  readonly mayMiss: boolean;
  /** Brings a request to any process that listens; false where there is none. */
  readonly send: (request: Request) => boolean;
  readonly failed: (error: Error) => void;
}

const toldMax = 15;

/**
 * Readers and writers of some keys, each of which has one writer: so a reader can tell what must not be there any more.
 */
export class VirtualCallers {
  readonly counts = { answered: 0, hits: 0, refused: 0, unheard: 0, missed: 0 };
  readonly #options: VirtualCallersOptions;
  readonly #stories = new Map<string, Story>();

  constructor(options: VirtualCallersOptions) {
    this.#options = options;
    for (const key of options.keys)
      this.#stories.set(key, {
        next: 0,
        answered: 0,
        answeredIsDeletion: true,
        answeredFromMs: -Infinity,
        unheard: new Map(),
        isBusy: false,
        told: [],
      });
  }

  /** One read, or one write of a key that nobody is writing. */
  ask(): void {
    const { random, keys, clock } = this.#options;
    const key = random.pick(keys);
    const story = this.#stories.get(key) ?? assert.fail(`no such key: ${key}`);
    const action = random.pick(['get', 'get', 'set', 'delete'] as const);
    if (action !== 'get' && story.isBusy) return;
    const fromMs = clock.monotonicMs();
    const before = { ...story };
    if (action !== 'get') {
      story.isBusy = true;
      story.next += 1;
    }
    const number = story.next;
    this.#send({ key, action, value: number, hops: 0 }, (answer) => {
      this.counts[typeof answer === 'string' ? answer : 'answered'] += 1;
      story.told.push(`${fromMs}-${clock.monotonicMs()} ${action} ${number} ${JSON.stringify(answer)}`);
      if (story.told.length > toldMax) story.told.shift();
      if (action === 'get') {
        const fault = this.#faultOf(before, story, answer);
        if (fault !== undefined)
          this.#options.failed(new Error(`${key} ${fault}:\n  ${story.told.join('\n  ')}`));
        return;
      }
      story.isBusy = false;
      if (answer === 'unheard') story.unheard.set(number, fromMs);
      if (typeof answer === 'string') return;
      story.answered = number;
      story.answeredIsDeletion = action === 'delete';
      story.answeredFromMs = fromMs;
    });
  }

  /** @param before what was known of the key when it was asked for */
  #faultOf(before: Story, now: Story, answer: Answer): string | undefined {
    if (typeof answer === 'string') return undefined;
    const { hit, value } = answer;
    if (!hit) {
      const isUnclear = before.isBusy || now.next !== before.next || before.unheard.size > 0;
      if (before.answeredIsDeletion || isUnclear) return undefined;
      this.counts.missed += 1;
      return this.#options.mayMiss ? undefined : `was missed after write ${before.answered}`;
    }
    this.counts.hits += 1;
    if (value > before.answered || (value === before.answered && !before.answeredIsDeletion))
      return undefined;
    // It may have been done after what was answered, if that was asked for soon enough.
    const sentMs = before.unheard.get(value);
    if (sentMs !== undefined && before.answeredFromMs < sentMs + this.#options.lateMsMax) return undefined;
    return `was ${value} after ${before.answeredIsDeletion ? 'deletion' : 'write'} ${before.answered}`;
  }

  #send(request: Omit<Request, 'answer'>, answered: (answer: Answer) => void): void {
    const { clock, random, patienceMs, send } = this.#options;
    let isOver = false;
    const answer = (said: Answer) => {
      if (isOver) return;
      isOver = true;
      answered(said);
    };
    clock.after(patienceMs, () => answer('unheard'));
    const back = (said: Answer) => void clock.after(random.integer(0, 2), () => answer(said));
    if (!send({ ...request, answer: back })) answer('refused');
  }
}
