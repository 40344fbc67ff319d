import type { Overlay } from './overlay.ts';

// A queue that was purged may have idempotency keys left, of items that were gone already by their retention. They
// go with their window; until then a record says that they belong to a queue that is no more.

interface ForgottenRecord {
  /** Items from this order on are of a later queue of the same name. */
  readonly before: number;
  /** When the last of the keys has gone. */
  readonly until: number;
}

const prefix = 'forgotten/';

/** Which queues were purged as a whole, as long as keys of theirs may be left. */
export class ForgottenQueues {
  readonly #overlay: Overlay;
  readonly #queues = new Map<string, ForgottenRecord>();

  constructor(overlay: Overlay) {
    this.#overlay = overlay;
  }

  /** True when a key of `queue` that stands for this item is one of a queue that is no more. */
  isOld(queue: string, order: number): boolean {
    return this.#queues.size > 0 && order < (this.#queues.get(queue)?.before ?? 0);
  }

  /**
   * Notes that `queue` is no more.
   * @param before    the order that the next item gets
   * @param keysForMs the longest that keys may be left: also of a time when the window was the default
   */
  forget(queue: string, before: number, at: number, keysForMs: number): void {
    for (const [name, { until }] of this.#queues) if (until <= at) this.#put(name, undefined);
    // One that was purged before under a longer window has keys of that time left.
    const known = this.#queues.get(queue)?.until ?? 0;
    this.#put(queue, { before, until: Math.max(known, at + keysForMs) });
  }

  /** Takes in a stored record at start; false when it is of another kind. */
  load(key: string, value: object): boolean {
    if (!key.startsWith(prefix)) return false;
    this.#queues.set(key.slice(prefix.length), value as ForgottenRecord);
    return true;
  }

  #put(queue: string, record: ForgottenRecord | undefined): void {
    if (record === undefined) this.#queues.delete(queue);
    else this.#queues.set(queue, record);
    this.#overlay.putRecord(`${prefix}${queue}`, record ?? null);
  }
}
