import { setTimeout as delay } from 'node:timers/promises';
import type { Trivet } from '#shared/client/client.ts';
import { requestReply } from '#shared/client/request.ts';
import { untilAnswered } from './until-answered.ts';

const name = 'chaos.increments';
const settleMsMax = 60_000;

/** Counts, and asks in the end what was counted: not less than was acknowledged, not more than was sent. */
export class TelemetryLoad {
  readonly #trivet: Trivet;
  #sent = 0;
  #acknowledged = 0;

  constructor(trivet: Trivet) {
    this.#trivet = trivet;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  async run(stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted) {
      const increments = Array.from({ length: 50 }, () => this.#increment());
      await Promise.all(increments);
      await delay(20);
    }
  }

  async audit(): Promise<readonly string[]> {
    const until = performance.now() + settleMsMax;
    let counted = await this.#counted();
    while (counted < this.#acknowledged && performance.now() < until) {
      await delay(300);
      counted = await this.#counted();
    }
    const least = this.#acknowledged;
    if (counted < least) return [`telemetry: ${least} increments were acknowledged, ${counted} counted`];
    if (counted > this.#sent) return [`telemetry: ${this.#sent} increments were sent, ${counted} counted`];
    return [];
  }

  async #increment(): Promise<void> {
    this.#sent += 1;
    try {
      await this.#trivet.telemetry.counter(name, 1);
      this.#acknowledged += 1;
    } catch {
      // Not acknowledged: whether it is stored nobody knows, and nobody may rely on it.
    }
  }

  async #counted(): Promise<number> {
    const { nats, subjects } = this.#trivet;
    const reply = await untilAnswered(async () => {
      const answer = await requestReply(nats, subjects.telemetryQuery('series'), { name });
      if (!answer.ok) throw new Error(answer.error.message);
      return answer.value as { readonly series: readonly { readonly value?: number }[] };
    });
    return reply.series.reduce((sum, { value = 0 }) => sum + value, 0);
  }
}
