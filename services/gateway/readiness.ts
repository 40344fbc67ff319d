import type { Subjects } from '#shared/protocol/subjects.ts';
import { requestReply } from '#shared/client/request.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';

/** What the gateway needs and does not find: `nats`, or names of the NATS service protocol. */
export type Missing = readonly string[];

const answerMsMax = 1_000;

/** How long one look is good for, in milliseconds: whoever asks without a token must not make work for the cluster. */
const lookMs = 500;

/** Looks whether NATS and the other services answer. Callers at one time share one look. */
export class Readiness {
  readonly #nats: Nats;
  readonly #subjects: Subjects;
  readonly #clock: Clock;
  #look: { readonly sinceMs: number; readonly missing: Promise<Missing> } | undefined;

  constructor(nats: Nats, subjects: Subjects, clock: Clock) {
    this.#nats = nats;
    this.#subjects = subjects;
    this.#clock = clock;
  }

  missing(): Promise<Missing> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#look === undefined || nowMs - this.#look.sinceMs > lookMs)
      this.#look = { sinceMs: nowMs, missing: this.#lookAround() };
    return this.#look.missing;
  }

  async #lookAround(): Promise<Missing> {
    if (!(await this.#natsAnswers())) return ['nats'];
    const looks = {
      'trivet-queue': this.#queuesAnswer(),
      'trivet-cache': this.#isThere('trivet-cache'),
      'trivet-telemetry': this.#isThere('trivet-telemetry'),
    };
    const answered = await Promise.all(Object.values(looks));
    return Object.keys(looks).filter((_, index) => answered[index] === false);
  }

  #natsAnswers(): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(answerMsMax, () => resolve(false));
      this.#nats.connection
        .flush()
        .then(() => resolve(true))
        .catch(() => resolve(false))
        .finally(cancel);
    });
  }

  /** Each partition has to: a broker that stands by lives, and one whose log takes nothing, and neither of them serves. */
  async #queuesAnswer(): Promise<boolean> {
    const { queueList } = this.#subjects;
    return (await requestReply(this.#nats, queueList, { limit: 1 }, { timeoutMs: answerMsMax })).ok;
  }

  async #isThere(service: string): Promise<boolean> {
    try {
      await this.#nats.connection.request(`$SRV.PING.${service}`, '', { timeout: answerMsMax });
      return true;
    } catch {
      return false;
    }
  }
}
