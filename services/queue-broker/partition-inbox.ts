import type { Refusal } from '#shared/protocol/errors.ts';
import type { MessageRoom } from './message-room.ts';
import type { Work } from './work.ts';

const groupWorkMax = 4_096;

/** Bytes of a group that nothing holds up: the disk begins with them while the rest is decided. */
const idleGroupBytesMax = 32_768;

/** What may wait to be decided: beyond it callers are told to come again. */
const inboxBytesMax = 128 * 1_048_576;
const inboxWorkMax = 200_000;

/** Requests that wait to be decided. */
export class PartitionInbox {
  readonly #room: () => MessageRoom;
  #work: Work[] = [];
  #bytes = 0;

  constructor(room: () => MessageRoom) {
    this.#room = room;
  }

  get isEmpty(): boolean {
    return this.#work.length === 0;
  }

  /** How full it is, from 0 to 1. */
  get fullness(): number {
    return Math.max(this.#bytes / inboxBytesMax, this.#work.length / inboxWorkMax);
  }

  /** Takes a request in, or says why not. */
  add(work: Work): Refusal | undefined {
    if (work.bytes > this.#room().recordBytesMax) return tooLarge;
    if (this.#work.length >= inboxWorkMax || this.#bytes > inboxBytesMax) return tooBusy;
    this.#work.push(work);
    this.#bytes += work.bytes;
    return undefined;
  }

  /**
   * Takes out what still goes into a group: as much as fits, at least one when the group is empty.
   * @param count requests that the group has already
   * @param bytes of them, and of what time has brought
   * @param isIdle nothing is on its way to the log: a little of it goes at once, the rest is decided meanwhile
   */
  take(count: number, bytes: number, isIdle: boolean): readonly Work[] {
    const { groupBytesMax } = this.#room();
    const bytesMax = isIdle ? Math.min(idleGroupBytesMax, groupBytesMax) : groupBytesMax;
    let taken = 0;
    let sum = bytes;
    for (const work of this.#work) {
      const before = count + taken;
      const isEmpty = before === 0 && bytes === 0;
      if (!isEmpty && (sum + work.bytes > bytesMax || before >= groupWorkMax)) break;
      taken += 1;
      sum += work.bytes;
      this.#bytes -= work.bytes;
    }
    const work = this.#work.slice(0, taken);
    this.#work = taken === this.#work.length ? [] : this.#work.slice(taken);
    return work;
  }

  refuseAll(refusal: Refusal): void {
    for (const work of this.#work) work.refuse(refusal);
    this.#work = [];
    this.#bytes = 0;
  }
}

const tooLarge: Refusal = {
  code: 'payload_too_large',
  message: 'what the request becomes does not fit one record of the log, send it in parts',
};
const tooBusy: Refusal = {
  code: 'unavailable',
  message: 'too many requests wait for this queue, ask again later',
};
