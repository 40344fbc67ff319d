import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';

/** What the gateway needs and does not find: `nats`, or names of the NATS service protocol. */
export type Missing = readonly string[];

const needed = ['trivet-queue', 'trivet-cache', 'trivet-telemetry'] as const;
const pingMsMax = 1_000;

/** How long one look is good for, in milliseconds: whoever asks without a token must not make work for the cluster. */
const lookMs = 500;

/** Looks whether NATS and the other services answer. Callers at one time share one look. */
export class Readiness {
  readonly #nats: Nats;
  readonly #clock: Clock;
  #look: { readonly sinceMs: number; readonly missing: Promise<Missing> } | undefined;

  constructor(nats: Nats, clock: Clock) {
    this.#nats = nats;
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
    const answered = await Promise.all(needed.map((service) => this.#answers(service)));
    return needed.filter((_, index) => answered[index] === false);
  }

  #natsAnswers(): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(pingMsMax, () => resolve(false));
      this.#nats.connection
        .flush()
        .then(() => resolve(true))
        .catch(() => resolve(false))
        .finally(cancel);
    });
  }

  async #answers(service: string): Promise<boolean> {
    try {
      await this.#nats.connection.request(`$SRV.PING.${service}`, '', { timeout: pingMsMax });
      return true;
    } catch {
      return false;
    }
  }
}
