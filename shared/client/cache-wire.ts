import type { GetReply } from '#shared/protocol/cache-schemas.ts';
import { type Encoding, json, jsonText } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, TrivetError, isErrorCode, refuseField } from '#shared/protocol/errors.ts';
import { payloadBytesMax } from '#shared/protocol/limits.ts';
import { type Encoded, encodePart, encodedBytes, spliceList, spliceObject } from '#shared/protocol/splice.ts';
import { packedFault } from '#shared/protocol/msgpack-spans.ts';
import { NotCarried, richValue } from '#shared/protocol/rich-values.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { CacheRouting } from './cache-routing.ts';
import { requestReply } from './request.ts';

export interface CacheTarget {
  readonly routing: CacheRouting;
  readonly encoding: Encoding;
  readonly timeoutMs: number;
}

/** How often `update` and `pull` begin anew when somebody else was quicker. */
export const updatesMax = 1_000;

/** What a set may weigh beside its value: the key, written as JSON escapes, and the options. */
const setEnvelopeBytesMax = 65_536;

/** What `keys` is asked with. */
export interface KeysOptions {
  readonly prefix?: string | undefined;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

export type SetReply = { readonly version: number; readonly ttlMs?: number };
export type DeleteReply = { readonly deleted: boolean };

export const valueOf = (reply: GetReply): unknown => (reply.hit ? reply.value : undefined);

/** One item of a reply to a batch: what was asked for, or why not. */
export type Item<Reply> = Reply | { readonly error: Refusal };

export const isRefused = <Reply>(item: Item<Reply>): item is { readonly error: Refusal } =>
  (item as { readonly error?: Refusal }).error !== undefined;

/** The requests of one namespace on the wire: one call, one message a node (but see `getMany`). Refusals are values. */
export class CacheWire {
  readonly #nats: Nats;
  readonly #target: CacheTarget;

  constructor(nats: Nats, target: CacheTarget) {
    this.#nats = nats;
    this.#target = target;
  }

  /** Characters of one message of sets; in UTF-8 they may be three times as many bytes. */
  get batchLengthMax(): number {
    return Math.min(batchLengthMax, (this.#nats.connection.info?.max_payload ?? Infinity) / 4);
  }

  /**
   * One request that is a message of its own.
   * @param key        the key that it is about; undefined: none, or all
   * @param timeoutMs  where it may take longer than others
   */
  request(
    operation: string,
    body: unknown,
    key: string | undefined,
    timeoutMs?: number,
  ): Promise<Result<unknown>> {
    const subject = this.#target.routing.subjectOf(operation, key);
    return this.#send(subject, encodePart(body, this.#target.encoding), timeoutMs);
  }

  /**
   * The entries of `keys`, in order. What did not fit into the reply together with the others is asked for alone:
   * the caller of one `get` does not know what else was in its message.
   */
  async getMany(keys: readonly string[]): Promise<readonly Item<GetReply>[]> {
    const items = await this.#keys<GetReply>('get', keys);
    if (keys.length === 1 || !items.some(isTooLarge)) return items;
    return Promise.all(
      items.map(async (item, index) => {
        if (!isTooLarge(item)) return item;
        const [alone] = await this.#keys<GetReply>('get', keys.slice(index, index + 1));
        return alone ?? item;
      }),
    );
  }

  deleteMany(keys: readonly string[]): Promise<readonly Item<DeleteReply>[]> {
    return this.#keys('delete', keys);
  }

  /**
   * @param keys  the key of each
   * @param sets  each as `encodeSet` made it
   */
  setMany(keys: readonly string[], sets: readonly Encoded[]): Promise<readonly Item<SetReply>[]> {
    const { encoding } = this.#target;
    return this.#byNode('set', keys, (subjects, indexes) => {
      const parts = indexes === undefined ? sets : indexes.map((index) => sets[index] ?? '');
      const [only] = parts;
      if (parts.length === 1 && only !== undefined) return this.#one<SetReply>(subjects.one, only);
      const body = spliceObject([['items', spliceList(parts, encoding)]], encoding);
      return this.#many<SetReply>(subjects.many, body, parts.length);
    });
  }

  /** One set, encoded; throws a `TrivetError` for a value that cannot be sent. */
  encodeSet(key: string, value: unknown, options: object | undefined): Encoded {
    const encoded = this.#encodeValue(key, value, options);
    // A character has three bytes at most; where that is little, nobody counts.
    const bytesMax = payloadBytesMax + setEnvelopeBytesMax;
    if (encoded.length * 3 <= bytesMax || encodedBytes(encoded) <= bytesMax) return encoded;
    const message = `value must be at most ${payloadBytesMax} bytes`;
    throw new TrivetError({ code: 'payload_too_large', message, details: { field: 'value' } });
  }

  #encodeValue(key: string, value: unknown, options: object | undefined): Encoded {
    const { encoding } = this.#target;
    const bad = badKey(key);
    if (bad !== undefined) throw bad;
    if (value === undefined) throw badValue('value must not be undefined: delete the key, or set null');
    if (typeof value === 'function' || typeof value === 'symbol')
      throw badValue(`value must not be a ${typeof value}: no encoding carries it`);
    let encoded: Encoded;
    try {
      encoded =
        encoding === json
          ? jsonSet(key, jsonText(value), options)
          : encodePart({ ...options, key, value: richValue(value) }, encoding);
    } catch (error) {
      if (error instanceof TrivetError) throw error;
      const reason = error instanceof NotCarried ? error.message : 'it has a cycle, or is nested too deeply';
      throw badValue(`value cannot be encoded: ${reason}`, error);
    }
    // The node refuses the whole message for it, and with it what others set in the same turn.
    const fault = typeof encoded === 'string' ? undefined : packedFault(encoded);
    if (fault !== undefined) throw badValue(`value cannot be encoded: ${fault}`);
    return encoded;
  }

  #keys<Reply>(operation: 'get' | 'delete', keys: readonly string[]): Promise<readonly Item<Reply>[]> {
    const { encoding } = this.#target;
    return this.#byNode(operation, keys, (subjects, indexes) => {
      const asked = indexes === undefined ? keys : indexes.map((index) => keys[index] ?? '');
      if (asked.length === 1) return this.#one<Reply>(subjects.one, encodePart({ key: asked[0] }, encoding));
      const body =
        encoding === json ? JSON.stringify({ keys: asked }) : encodePart({ keys: asked }, encoding);
      return this.#many<Reply>(subjects.many, body, asked.length);
    });
  }

  /** One message to each node that has some of the keys; their replies in the order of the keys. */
  #byNode<Reply>(
    operation: string,
    keys: readonly string[],
    ask: (subjects: Subjects, indexes: readonly number[] | undefined) => Promise<readonly Item<Reply>[]>,
  ): Promise<readonly Item<Reply>[]> {
    const { routing } = this.#target;
    const many = `${operation}-many`;
    const subjectsOf = (subject: string, key: string | undefined): Subjects => ({
      one: routing.subjectOf(operation, key),
      many: subject,
    });
    const first = routing.subjectOf(many, keys[0]);
    if (keys.every((key) => routing.subjectOf(many, key) === first))
      return ask(subjectsOf(first, keys[0]), undefined);
    return this.#bySubject(many, keys, (subject, indexes) =>
      ask(subjectsOf(subject, keys[indexes[0] ?? 0]), indexes),
    );
  }

  async #bySubject<Reply>(
    operation: string,
    keys: readonly string[],
    ask: (subject: string, indexes: readonly number[]) => Promise<readonly Item<Reply>[]>,
  ): Promise<readonly Item<Reply>[]> {
    const bySubject = new Map<string, number[]>();
    for (const [index, key] of keys.entries()) {
      const subject = this.#target.routing.subjectOf(operation, key);
      const indexes = bySubject.get(subject);
      if (indexes === undefined) bySubject.set(subject, [index]);
      else indexes.push(index);
    }
    const merged: Item<Reply>[] = Array.from({ length: keys.length }, () => missingItem);
    await Promise.all(
      [...bySubject].map(async ([subject, indexes]) => {
        const items = await ask(subject, indexes);
        for (const [at, index] of indexes.entries()) merged[index] = items[at] ?? missingItem;
      }),
    );
    return merged;
  }

  async #one<Reply>(subject: string, body: Encoded): Promise<readonly Item<Reply>[]> {
    const reply = await this.#send(subject, body);
    // The service validates what it sends by construction: the reply's shape is the contract of its operation.
    return [reply.ok ? (reply.value as Reply) : reply];
  }

  async #many<Reply>(subject: string, body: Encoded, count: number): Promise<readonly Item<Reply>[]> {
    const reply = await this.#send(subject, body);
    if (!reply.ok) return Array.from({ length: count }, () => reply);
    const { items } = reply.value as { readonly items?: readonly Item<Reply>[] };
    return Array.isArray(items) ? items : [];
  }

  /** Sends, and sends again where the node that was asked is not the one (any more) that answers for the key. */
  async #send(subject: string, body: Encoded, timeoutMs?: number): Promise<Result<unknown>> {
    const { encoding, routing } = this.#target;
    const bytes = Buffer.from(body);
    const startMs = performance.now();
    const untilMs = startMs + (timeoutMs ?? this.#target.timeoutMs);
    let at = subject;
    for (;;) {
      const reply = await requestReply(this.#nats, at, bytes, {
        timeoutMs: Math.max(1, untilMs - performance.now()),
        headers: { 'Content-Type': encoding === json ? undefined : encoding },
      });
      const instead = reply.ok ? undefined : routing.instead(at, reply.error);
      if (instead === undefined || performance.now() >= Math.min(untilMs, startMs + settleMsMax))
        return reply;
      at = await instead;
    }
  }
}

/**
 * What no request can be about, refused before it shares a message with others: it would take them with it. How long a
 * key may be the node says.
 */
export function badKey(key: unknown): TrivetError | undefined {
  if (typeof key === 'string' && key.isWellFormed()) return undefined;
  const problem = typeof key === 'string' ? 'must be well-formed Unicode' : 'must be text of 1 to 1024 bytes';
  return new TrivetError(refuseField('key', problem).error);
}

/** @param valueText  what JSON makes of the value: nothing where its `toJSON` returns undefined */
function jsonSet(key: string, valueText: string | undefined, options: object | undefined): string {
  if (valueText === undefined)
    throw badValue('value must not be undefined, which is what its toJSON returns');
  const head = `{"key":${JSON.stringify(key)},"value":${valueText}`;
  const rest = jsonText(options ?? {});
  return rest === '{}' ? `${head}}` : `${head},${rest.slice(1)}`;
}

const badValue = (message: string, cause?: unknown): TrivetError =>
  new TrivetError({ code: 'invalid_request', message, details: { field: 'value' } }, { cause });

/** A request has 7 MiB. */
const batchLengthMax = 2 * 1_048_576;

/** How long the nodes may take to agree on who answers for a key, in milliseconds: then the caller hears of it. */
const settleMsMax = 5_000;

interface Subjects {
  /** For a request about one key, and about many. */
  readonly one: string;
  readonly many: string;
}

const missingItem = {
  error: { code: 'internal', message: 'the reply of a batch has fewer items than its request' },
} as const satisfies { readonly error: Refusal };

/** The refusal of an item as an error; a code that this client does not know is `internal`. */
export function refusedItem({ error }: { readonly error: Refusal }): TrivetError {
  return new TrivetError(isErrorCode(error.code) ? error : { code: 'internal', message: error.message });
}

const isTooLarge = (item: Item<unknown>): boolean =>
  isRefused(item) && item.error.code === 'payload_too_large';
