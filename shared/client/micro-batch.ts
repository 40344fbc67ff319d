import { type Result, TrivetError } from '#shared/protocol/errors.ts';

export interface MicroBatchOptions<Item, Reply> {
  /** Most items in one batch; a batch that reaches it goes out at once. */
  readonly itemsMax: number;
  /** Most bytes in one batch, by what `add` is told; an item that would pass it starts the next batch. */
  readonly bytesMax: number;
  /** Sends a batch. Answers with one result an item, in order; when it throws, every item is refused with that. */
  readonly send: (items: readonly Item[]) => Promise<readonly Result<Reply>[]>;
}

interface Waiting<Reply> {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Packs what is added in one turn of the event loop into one `send`: many small requests cost a message each, and the
 * message is what is expensive. Nothing is held back by a timer: a batch leaves when the turn that began it ends, so
 * one request alone is as fast as without.
 */
export class MicroBatch<Item, Reply> {
  readonly #options: MicroBatchOptions<Item, Reply>;
  #items: Item[] = [];
  #waiting: Waiting<Reply>[] = [];
  #bytes = 0;
  #scheduled = false;
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: MicroBatchOptions<Item, Reply>) {
    this.#options = options;
  }

  /**
   * Adds an item to the batch of this turn.
   * @param bytes its size on the wire, as far as it counts towards `bytesMax`
   * @returns the item's own reply; rejects with its own `TrivetError`
   */
  add(item: Item, bytes = 0): Promise<Reply> {
    if (this.#items.length > 0 && this.#bytes + bytes > this.#options.bytesMax) this.flush();
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    this.#items.push(item);
    this.#bytes += bytes;
    if (this.#items.length >= this.#options.itemsMax) this.flush();
    else this.#schedule();
    return reply;
  }

  /** Sends what has gathered now: for a caller whose next message must not overtake it. */
  flush(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    const waiting = this.#waiting;
    this.#items = [];
    this.#waiting = [];
    this.#bytes = 0;
    const delivery = this.#deliver(items, waiting);
    this.#underWay.add(delivery);
    void delivery.then(() => this.#underWay.delete(delivery));
  }

  /** Sends what has gathered now, and resolves once all that was sent is answered. */
  async settled(): Promise<void> {
    this.flush();
    await Promise.all(this.#underWay);
  }

  /** `setImmediate` ends the turn after every socket that was readable in it, so many connections share a batch. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Never rejects: what goes wrong is told to those who wait. */
  async #deliver(items: readonly Item[], waiting: readonly Waiting<Reply>[]): Promise<void> {
    let results: readonly Result<Reply>[];
    try {
      results = await this.#options.send(items);
    } catch (error) {
      for (const one of waiting) one.reject(error);
      return;
    }
    for (const [index, one] of waiting.entries()) settle(one, results[index]);
  }
}

function settle<Reply>(waiting: Waiting<Reply>, result: Result<Reply> | undefined): void {
  if (result === undefined) {
    const message = 'the reply of a batch has fewer items than its request';
    waiting.reject(new TrivetError({ code: 'internal', message }));
  } else if (result.ok) waiting.resolve(result.value);
  else waiting.reject(new TrivetError(result.error));
}
