import { type Result, TrivetError, accept, refuse } from '#shared/protocol/errors.ts';
import { MicroBatch } from '#shared/client/micro-batch.ts';

export interface KeyedBatchesOptions<Item, Reply> {
  readonly itemsMax: number;
  readonly bytesMax: number;
  /** Sends what belongs to one key: one result an item, in order. */
  readonly send: (key: string, items: readonly Item[]) => Promise<readonly Result<Reply>[]>;
}

/**
 * Packs what callers ask of one queue or namespace in one turn of the event loop into one message: a message is what
 * costs, not what is in it. A key is forgotten as soon as its batch has left, so names that callers make up take no room.
 */
export class KeyedBatches<Item, Reply> {
  readonly #options: KeyedBatchesOptions<Item, Reply>;
  readonly #batches = new Map<string, MicroBatch<Item, Reply>>();

  constructor(options: KeyedBatchesOptions<Item, Reply>) {
    this.#options = options;
  }

  /** @param bytes size of the item on the wire */
  async add(key: string, item: Item, bytes: number): Promise<Result<Reply>> {
    try {
      return accept(await this.#batchOf(key).add(item, bytes));
    } catch (error) {
      if (!(error instanceof TrivetError)) throw error;
      return refuse(error.code, error.message.slice(error.code.length + 2), error.details);
    }
  }

  #batchOf(key: string): MicroBatch<Item, Reply> {
    const known = this.#batches.get(key);
    if (known !== undefined) return known;
    const { itemsMax, bytesMax, send } = this.#options;
    const batch = new MicroBatch<Item, Reply>({
      itemsMax,
      bytesMax,
      send: (items) => {
        if (this.#batches.get(key) === batch) this.#batches.delete(key);
        return send(key, items);
      },
    });
    this.#batches.set(key, batch);
    return batch;
  }
}
