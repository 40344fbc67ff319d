import type { GetReply } from '#shared/protocol/cache-schemas.ts';
import { type Result } from '#shared/protocol/errors.ts';
import { batchItemsMax } from '#shared/protocol/limits.ts';
import { type Encoded, encodedBytes } from '#shared/protocol/splice.ts';
import type { CacheWire, DeleteReply, SetReply } from './cache-wire.ts';
import { MicroBatch } from './micro-batch.ts';

/** Bytes of one message of sets: below the server's 8 MB with room for the largest value. */
const batchBytesMax = 4 * 1_048_576;

type Kind = 'get' | 'set' | 'delete';
const kinds: readonly Kind[] = ['get', 'set', 'delete'];

interface EncodedSet {
  readonly key: string;
  readonly encoded: Encoded;
}

/**
 * The requests of one namespace, packed: what is asked in one turn of the event loop goes out as one message of gets,
 * one of sets and one of deletes. Requests for the same key keep their order: what meets its key in an open batch of
 * another kind sends that batch first, and NATS keeps the order of one connection's messages.
 */
export class CacheBatches {
  readonly #wire: CacheWire;
  readonly #gets: MicroBatch<string, GetReply>;
  readonly #sets: MicroBatch<EncodedSet, SetReply>;
  readonly #deletes: MicroBatch<string, DeleteReply>;
  /** The keys in each kind's open batch. */
  readonly #open: Readonly<Record<Kind, Set<string>>> = { get: new Set(), set: new Set(), delete: new Set() };

  constructor(wire: CacheWire) {
    this.#wire = wire;
    const limits = { itemsMax: batchItemsMax, bytesMax: batchBytesMax };
    const sending = (kind: Kind) => this.#open[kind].clear();
    this.#gets = new MicroBatch({
      ...limits,
      send: (keys) => {
        sending('get');
        return wire.getMany(keys);
      },
    });
    this.#sets = new MicroBatch({
      ...limits,
      send: (items) => {
        sending('set');
        return wire.setMany(items.map((item) => item.encoded));
      },
    });
    this.#deletes = new MicroBatch({
      ...limits,
      send: (keys) => {
        sending('delete');
        return wire.deleteMany(keys);
      },
    });
  }

  get(key: string): Promise<GetReply> {
    return this.#add('get', key, () => this.#gets.add(key, Buffer.byteLength(key)));
  }

  delete(key: string): Promise<DeleteReply> {
    return this.#add('delete', key, () => this.#deletes.add(key, Buffer.byteLength(key)));
  }

  /** Rejects with `payload_too_large` or `invalid_request`, before anything is sent, when the value cannot be. */
  async set(item: { readonly key: string }): Promise<SetReply> {
    const encoded = this.#wire.encodeSet(item);
    return this.#add('set', item.key, () =>
      this.#sets.add({ key: item.key, encoded }, encodedBytes(encoded)),
    );
  }

  /**
   * A request that is a message of its own: sent at once, after what is open for its keys.
   * @param keys the keys that it concerns; all of them when left out
   */
  request(operation: string, body: unknown, keys?: readonly string[]): Promise<Result<unknown>> {
    for (const kind of kinds) {
      const open = this.#open[kind];
      if (keys === undefined || keys.some((key) => open.has(key))) this.#flush(kind);
    }
    return this.#wire.request(operation, body);
  }

  #add<Reply>(kind: Kind, key: string, add: () => Promise<Reply>): Promise<Reply> {
    for (const other of kinds) if (other !== kind && this.#open[other].has(key)) this.#flush(other);
    // Adding may send the batch that was open before this item (its bytes); the key then belongs to the next one.
    const reply = add();
    this.#open[kind].add(key);
    return reply;
  }

  #flush(kind: Kind): void {
    const batch = { get: this.#gets, set: this.#sets, delete: this.#deletes }[kind];
    batch.flush();
  }
}
