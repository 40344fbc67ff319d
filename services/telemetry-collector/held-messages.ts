import type { Clock } from '#shared/runtime/clock.ts';
import type { Delivery, Room } from './inbox.ts';

/** What a held message still needs of its delivery. */
export type HeldDelivery = Pick<Delivery, 'acknowledge' | 'working'>;

export interface HeldLimits {
  /** Messages that this collector holds without an acknowledgement. */
  readonly messagesMax: number;
  /** Their bytes: with a destination that is down the collector's memory grows by some ten times this. */
  readonly bytesMax: number;
  /** Least room of one request: the largest message must fit. */
  readonly requestBytesMin: number;
}

/**
 * What one collector holds at most.
 * @param payloadMax the largest message of this NATS, in bytes
 */
export const heldLimits = (payloadMax = 1_048_576): HeldLimits => ({
  messagesMax: 4_000,
  bytesMax: 4 * 1_048_576,
  // With its subject and headers.
  requestBytesMin: payloadMax + 65_536,
});

/**
 * The messages that were taken and are not acknowledged yet: bounds them, and tells JetStream while they wait that
 * they are being worked on.
 */
export class HeldMessages {
  readonly #limits: HeldLimits;
  readonly #clock: Clock;
  readonly #held = new Map<number, { delivery: HeldDelivery; readonly bytes: number }>();
  #bytes = 0;
  /** Of one message, as they came lately. */
  #bytesMean = 4_096;
  #waiting: (() => void) | undefined;
  #cancel: () => void = () => undefined;
  #released = false;

  constructor(limits: HeldLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get messages(): number {
    return this.#held.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(sequence: number): boolean {
    return this.#held.has(sequence);
  }

  get isFull(): boolean {
    return this.#held.size >= this.#limits.messagesMax || this.#bytes >= this.#limits.bytesMax;
  }

  /** Says `working` for every held message each `intervalMs`, until `stop`. */
  start(intervalMs: number): void {
    this.#cancel = this.#clock.after(intervalMs, () => {
      for (const { delivery } of this.#held.values()) delivery.working();
      this.start(intervalMs);
    });
  }

  stop(): void {
    this.#cancel();
  }

  /** Lets whoever waits for room go: nothing more will be asked for. */
  release(): void {
    this.#released = true;
    this.#waiting?.();
  }

  /** @returns false when the message is held already: JetStream sent it again, and the later delivery counts. */
  hold(delivery: Delivery): boolean {
    const known = this.#held.get(delivery.sequence);
    if (known !== undefined) {
      known.delivery = delivery;
      return false;
    }
    const { acknowledge, working, body } = delivery;
    this.#held.set(delivery.sequence, { delivery: { acknowledge, working }, bytes: body.length });
    this.#bytes += body.length;
    this.#bytesMean += (body.length - this.#bytesMean) / 16;
    return true;
  }

  acknowledge(sequence: number): void {
    const known = this.#held.get(sequence);
    if (known === undefined) return;
    known.delivery.acknowledge();
    this.#held.delete(sequence);
    this.#bytes -= known.bytes;
    this.#waiting?.();
  }

  /** Resolves once there is room for more, with how much. After `release` at once. */
  async room(): Promise<Room> {
    const { messagesMax, bytesMax, requestBytesMin } = this.#limits;
    if (this.isFull) {
      await new Promise<void>((resolve) => {
        this.#waiting = () => {
          // Not with the first byte: a request for one message costs as much as one for hundreds.
          const isRoomy = this.#held.size <= messagesMax / 2 && this.#bytes <= bytesMax / 2;
          if (isRoomy || this.#released) resolve();
        };
      });
    }
    this.#waiting = undefined;
    const fitting = Math.ceil((bytesMax - this.#bytes) / Math.max(1, this.#bytesMean));
    return {
      messages: Math.max(1, Math.min(messagesMax - this.#held.size, fitting)),
      bytes: Math.max(requestBytesMin, bytesMax - this.#bytes),
    };
  }
}
