import type { Clock } from '#shared/runtime/clock.ts';

// nats-server 2.15 keeps the error of a write that found the disk full and answers every later one to that stream with
// it, long after there is room again; nothing but a new start makes it forget. So whoever runs it has to give it one.

const refusedWrite = /no space left on device|not enough space on the disk/i;

/** What has to be free before a new start is worth it: with less the next write would find the disk full again. */
export const roomBytesMin = 16 * 1024 ** 2;

// A server that can write again has said its last error by then; one that cannot goes on with it for ever.
const settleMs = 5_000;

export interface FullDiskOptions {
  readonly clock: Clock;
  /** How many bytes are free where the streams are. */
  readonly freeBytes: () => number;
  /** Called once: there is room, and nats-server still refuses for want of it. */
  readonly stuck: () => void;
}

/** Reads what nats-server logs, and says when it has not noticed that a full disk has room again. */
export class FullDiskWatch {
  readonly #options: FullDiskOptions;
  #roomSinceMs: number | undefined;
  #told = false;

  constructor(options: FullDiskOptions) {
    this.#options = options;
  }

  line(text: string): void {
    if (this.#told || !refusedWrite.test(text)) return;
    if (this.#options.freeBytes() < roomBytesMin) {
      this.#roomSinceMs = undefined;
      return;
    }
    const nowMs = this.#options.clock.monotonicMs();
    this.#roomSinceMs ??= nowMs;
    if (nowMs - this.#roomSinceMs < settleMs) return;
    this.#told = true;
    this.#options.stuck();
  }
}
