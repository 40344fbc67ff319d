import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { type WaitOptions, waitForResult } from './item-wait.ts';
import type { QueueChannel } from './queue-channel.ts';

/** What the broker says of an item that was added. */
export interface Accepted {
  readonly id: string;
  readonly state: QueueStatus;
  readonly duplicate: boolean;
  readonly replaced?: boolean;
}

/** What became of an added item. */
export interface Added<Result = unknown> extends Accepted {
  /** The key stood for an item already: no new one was made, `id` is that item's. */
  readonly duplicate: boolean;
  /** That item was changed (`onDuplicate`). */
  readonly replaced?: boolean;
  /** Waits until the item is final: see `queue.finished`. */
  result(options?: WaitOptions): Promise<Result>;
}

export class AddedItem implements Added {
  readonly id: string;
  readonly state: QueueStatus;
  readonly duplicate: boolean;
  declare readonly replaced?: boolean;
  readonly #channel: QueueChannel;

  constructor(channel: QueueChannel, accepted: Accepted) {
    this.#channel = channel;
    this.id = accepted.id;
    this.state = accepted.state;
    this.duplicate = accepted.duplicate;
    if (accepted.replaced !== undefined) this.replaced = accepted.replaced;
  }

  result(options: WaitOptions = {}): Promise<unknown> {
    return waitForResult(this.#channel, this.id, options);
  }
}
