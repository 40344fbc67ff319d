import type { GetReply } from '#shared/protocol/cache-schemas.ts';
import type { Result } from '#shared/protocol/errors.ts';
import { batchItemsMax } from '#shared/protocol/limits.ts';
import type { Encoded } from '#shared/protocol/splice.ts';
import {
  type CacheWire,
  type DeleteReply,
  type Item,
  type SetReply,
  badKey,
  isRefused,
  refusedItem,
} from './cache-wire.ts';

/**
 * Requests of one message, though it may have a thousand. Where more ask at once they become several messages, so
 * that the node works on the second one while this process reads the reply to the first. Many small ones cost all three
 * processes more than that gains: with 64, 200 callers make three messages and one of eight, a fifth slower in all.
 */
const pipelinedItems = 100;

type Kind = 'get' | 'set' | 'delete';

/**
 * The requests of one namespace, packed: what is asked in one turn of the event loop goes out together, gets, sets and
 * deletes apart. Requests for the same key keep their order: what meets its key in an open batch of another kind sends
 * that batch first, and NATS keeps the order of one connection's messages. Nothing is held back by a timer: a batch
 * leaves when the turn that began it ends.
 */
export class CacheBatches {
  readonly #wire: CacheWire;
  readonly #gets: OpenBatch<undefined, GetReply>;
  readonly #sets: OpenBatch<Encoded, SetReply>;
  readonly #deletes: OpenBatch<undefined, DeleteReply>;
  readonly #batches: Readonly<Record<Kind, { hasKey(key: string): boolean; flush(): void }>>;
  #scheduled = false;

  constructor(wire: CacheWire) {
    this.#wire = wire;
    const lengthMax = (): number => wire.batchLengthMax;
    this.#gets = new OpenBatch(lengthMax, (keys) => wire.getMany(keys));
    // `async`: a batch leaves behind the turn, where nobody would catch what is thrown.
    this.#sets = new OpenBatch(lengthMax, async (keys, sets) => wire.setMany(keys, sets));
    this.#deletes = new OpenBatch(lengthMax, async (keys) => wire.deleteMany(keys));
    this.#batches = { get: this.#gets, set: this.#sets, delete: this.#deletes };
  }

  get(key: string): Promise<GetReply> {
    return this.read(key, asItIs);
  }

  /**
   * As `get`, of the reply what `part` makes of it: one promise a call, where another step would make another one.
   * `part` does not throw.
   */
  read<Part>(key: string, part: (reply: GetReply) => Part): Promise<Part> {
    const bad = badKey(key);
    if (bad !== undefined) return Promise.reject(bad);
    if (this.#sets.length > 0) this.#flushOne('set', key);
    if (this.#deletes.length > 0) this.#flushOne('delete', key);
    this.#schedule();
    return new Promise((resolve, reject) => {
      this.#gets.add(key, undefined, { resolve: (reply) => resolve(part(reply)), reject });
    });
  }

  delete(key: string): Promise<DeleteReply> {
    const bad = badKey(key);
    if (bad !== undefined) return Promise.reject(bad);
    if (this.#sets.length > 0) this.#flushOne('set', key);
    if (this.#gets.length > 0) this.#flushOne('get', key);
    this.#schedule();
    return new Promise((resolve, reject) => this.#deletes.add(key, undefined, { resolve, reject }));
  }

  /** @param encoded  as `CacheWire.encodeSet` made it */
  set(key: string, encoded: Encoded): Promise<SetReply> {
    if (this.#deletes.length > 0) this.#flushOne('delete', key);
    if (this.#gets.length > 0) this.#flushOne('get', key);
    this.#schedule();
    return new Promise((resolve, reject) => this.#sets.add(key, encoded, { resolve, reject }));
  }

  /** Many at once, without a promise for each: in messages of their own, sent at once, after what is open for them. */
  async getMany(keys: readonly string[]): Promise<readonly Item<GetReply>[]> {
    if (keys.length === 0) return [];
    const bad = keys.map(badKey).find((error) => error !== undefined);
    if (bad !== undefined) throw bad;
    for (const kind of ['set', 'delete'] as const) this.#flushAny(kind, keys);
    if (keys.length <= batchItemsMax) return this.#wire.getMany(keys);
    const parts: Promise<readonly Item<GetReply>[]>[] = [];
    for (let from = 0; from < keys.length; from += batchItemsMax)
      parts.push(this.#wire.getMany(keys.slice(from, from + batchItemsMax)));
    return (await Promise.all(parts)).flat();
  }

  /**
   * A request that is a message of its own: sent at once, after what is open for its key.
   * @param key  the key that it concerns; all of them when undefined
   */
  request(operation: string, body: unknown, key?: string, timeoutMs?: number): Promise<Result<unknown>> {
    const bad = key === undefined ? undefined : badKey(key);
    if (bad !== undefined) return Promise.reject(bad);
    for (const kind of ['get', 'set', 'delete'] as const) {
      if (key === undefined) this.#batches[kind].flush();
      else this.#flushOne(kind, key);
    }
    return this.#wire.request(operation, body, key, timeoutMs);
  }

  #flushOne(kind: Kind, key: string): void {
    const batch = this.#batches[kind];
    if (batch.hasKey(key)) batch.flush();
  }

  #flushAny(kind: Kind, keys: readonly string[]): void {
    const batch = this.#batches[kind];
    if (keys.some((key) => batch.hasKey(key))) batch.flush();
  }

  /** `setImmediate` ends the turn after every socket that was readable in it, so many connections share a batch. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#scheduled = false;
    this.#sets.flush();
    this.#deletes.flush();
    this.#gets.flush();
  };
}

type Send<Payload, Reply> = (
  keys: readonly string[],
  payloads: readonly Payload[],
) => Promise<readonly Item<Reply>[]>;

const asItIs = (reply: GetReply): GetReply => reply;

interface Waiting<Reply> {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

/** Requests of one kind that wait for the end of the turn. */
class OpenBatch<Payload extends Encoded | undefined, Reply extends object> {
  readonly #lengthMax: () => number;
  readonly #send: Send<Payload, Reply>;
  #keys: string[] = [];
  #payloads: Payload[] = [];
  #waiting: Waiting<Reply>[] = [];
  #charactersOpen = 0;
  /** Made when somebody asks for it, which needs two kinds in one turn, and kept until the batch leaves. */
  #keySet: Set<string> | undefined;

  constructor(lengthMax: () => number, send: Send<Payload, Reply>) {
    this.#lengthMax = lengthMax;
    this.#send = send;
  }

  get length(): number {
    return this.#keys.length;
  }

  hasKey(key: string): boolean {
    if (this.#keys.length === 0) return false;
    this.#keySet ??= new Set(this.#keys);
    return this.#keySet.has(key);
  }

  add(key: string, payload: Payload, waiting: Waiting<Reply>): void {
    const characters = payload === undefined ? key.length : payload.length;
    if (this.#keys.length >= pipelinedItems || this.#charactersOpen + characters > this.#lengthMax())
      this.flush();
    this.#keys.push(key);
    this.#payloads.push(payload);
    this.#charactersOpen += characters;
    this.#keySet?.add(key);
    this.#waiting.push(waiting);
  }

  flush(): void {
    if (this.#keys.length === 0) return;
    const [keys, payloads] = [this.#keys, this.#payloads];
    const waiting = this.#waiting;
    this.#keys = [];
    this.#payloads = [];
    this.#waiting = [];
    this.#charactersOpen = 0;
    this.#keySet = undefined;
    // Never rejects beyond this: what goes wrong is told to those who wait.
    this.#send(keys, payloads).then(
      (items) => settle(items, waiting),
      (error: unknown) => {
        for (const { reject } of waiting) reject(error);
      },
    );
  }
}

function settle<Reply extends object>(
  items: readonly Item<Reply>[],
  waiting: readonly Waiting<Reply>[],
): void {
  for (const [index, { resolve, reject }] of waiting.entries()) {
    const item = items[index];
    if (item !== undefined && !isRefused(item)) resolve(item);
    else reject(refusedItem(item ?? missingReply));
  }
}

const missingReply = {
  error: { code: 'internal', message: 'the reply of a batch has fewer items than its request' },
} as const;
