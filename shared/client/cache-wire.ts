import type { GetReply } from '#shared/protocol/cache-schemas.ts';
import { type Encoding, json } from '#shared/protocol/encoding.ts';
import {
  type Refusal,
  type Result,
  TrivetError,
  accept,
  isErrorCode,
  refuse,
} from '#shared/protocol/errors.ts';
import { payloadBytesMax } from '#shared/protocol/limits.ts';
import { type Encoded, encodePart, encodedBytes, spliceList, spliceObject } from '#shared/protocol/splice.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { requestReply } from './request.ts';

export interface CacheTarget {
  readonly subjects: Subjects;
  readonly namespace: string;
  readonly encoding: Encoding;
  readonly timeoutMs: number;
}

/** What a set may weigh beside its value: the key, written as JSON escapes, and the options. */
const setEnvelopeBytesMax = 16_384;

export type SetReply = { readonly version: number };
export type DeleteReply = { readonly deleted: boolean };

/** The requests of one namespace on the wire: one call, one message (but see `getMany`). Refusals are values. */
export class CacheWire {
  readonly #nats: Nats;
  readonly #target: CacheTarget;

  constructor(nats: Nats, target: CacheTarget) {
    this.#nats = nats;
    this.#target = target;
  }

  request(operation: string, body: unknown): Promise<Result<unknown>> {
    return this.#send(operation, encodePart(body, this.#target.encoding));
  }

  /**
   * The entries of `keys`, in order. What did not fit into the reply together with the others is asked for alone:
   * the caller of one `get` does not know what else was in its message.
   */
  async getMany(keys: readonly string[]): Promise<readonly Result<GetReply>[]> {
    const results = await this.#ask<GetReply>('get', keys);
    if (keys.length === 1) return results;
    return Promise.all(
      results.map(async (result, index) => {
        if (result.ok || result.error.code !== 'payload_too_large') return result;
        const [alone] = await this.#ask<GetReply>('get', keys.slice(index, index + 1));
        return alone ?? result;
      }),
    );
  }

  deleteMany(keys: readonly string[]): Promise<readonly Result<DeleteReply>[]> {
    return this.#ask('delete', keys);
  }

  /** @param sets each as `encodeSet` made it */
  async setMany(sets: readonly Encoded[]): Promise<readonly Result<SetReply>[]> {
    const [only] = sets;
    if (sets.length === 1 && only !== undefined) return [await this.#one<SetReply>('set', only)];
    return this.#many('set-many', 'items', sets);
  }

  /** One set, encoded; throws a `TrivetError` for a value that cannot be sent. */
  encodeSet(set: { readonly key: string }): Encoded {
    const encoded = this.#encodeValue(set);
    if (encodedBytes(encoded) <= payloadBytesMax + setEnvelopeBytesMax) return encoded;
    const message = `value must be at most ${payloadBytesMax} bytes`;
    throw new TrivetError({ code: 'payload_too_large', message, details: { field: 'value' } });
  }

  #encodeValue(set: object): Encoded {
    try {
      return encodePart(set, this.#target.encoding);
    } catch (error) {
      const message = 'value cannot be encoded: it has a cycle, or is nested too deeply';
      throw new TrivetError(
        { code: 'invalid_request', message, details: { field: 'value' } },
        { cause: error },
      );
    }
  }

  async #ask<Reply>(operation: 'get' | 'delete', keys: readonly string[]): Promise<readonly Result<Reply>[]> {
    const { encoding } = this.#target;
    const parts = keys.map((key) => encodePart(key, encoding));
    const [only] = parts;
    if (parts.length === 1 && only !== undefined)
      return [await this.#one<Reply>(operation, spliceObject([['key', only]], encoding))];
    return this.#many(`${operation}-many`, 'keys', parts);
  }

  async #one<Reply>(operation: string, body: Encoded): Promise<Result<Reply>> {
    // The service validates what it sends by construction: the reply's shape is the contract of its operation.
    return (await this.#send(operation, body)) as Result<Reply>;
  }

  async #many<Reply>(operation: string, field: string, parts: readonly Encoded[]) {
    const { encoding } = this.#target;
    const reply = await this.#send(operation, spliceObject([[field, spliceList(parts, encoding)]], encoding));
    if (!reply.ok) return parts.map(() => reply);
    return itemResults<Reply>(reply.value);
  }

  #send(operation: string, body: Encoded): Promise<Result<unknown>> {
    const { subjects, namespace, encoding, timeoutMs } = this.#target;
    return requestReply(this.#nats, subjects.cache(namespace, operation), Buffer.from(body), {
      timeoutMs,
      headers: { 'Content-Type': encoding === json ? undefined : encoding },
    });
  }
}

function itemResults<Reply>(reply: unknown): readonly Result<Reply>[] {
  const items = (reply as { readonly items?: unknown }).items;
  if (!Array.isArray(items)) return [];
  return items.map((item: Reply & { readonly error?: Refusal }) => {
    if (item.error === undefined) return accept(item);
    if (isErrorCode(item.error.code)) return { ok: false, error: item.error };
    return refuse('internal', item.error.message);
  });
}
