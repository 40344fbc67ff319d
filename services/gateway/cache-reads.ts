import { type Result, accept } from '#shared/protocol/errors.ts';
import { isNamed, skipJsonValue, visitElements, visitMembers } from '#shared/protocol/json-spans.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { requestMessage } from '#shared/client/request.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Msg, Nats } from '#shared/runtime/nats.ts';
import { ask, saidHeaders } from './ask.ts';
import type { Answer } from './endpoint.ts';
import { KeyedBatches } from './keyed-batches.ts';

/** Keys in one message. */
const keysPerMessage = 100;
const bytesPerMessage = 65_536;

interface CacheReadsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
}

/** Gets entries for different callers, packed into one message a namespace and turn. Values are passed on as they are. */
export class CacheReads {
  readonly #nats: Nats;
  readonly #subjects: Subjects;
  readonly #batches: KeyedBatches<string, Answer>;

  constructor({ nats, subjects, clock }: CacheReadsOptions) {
    this.#nats = nats;
    this.#subjects = subjects;
    this.#batches = new KeyedBatches({
      clock,
      itemsMax: keysPerMessage,
      bytesMax: bytesPerMessage,
      send: (namespace, keys) => this.#send(namespace, keys),
    });
  }

  /** What `get` answers. A request that is traced goes alone: a message has one trace. */
  get(
    namespace: string,
    key: string,
    traceHeaders: Readonly<Record<string, string>>,
  ): Promise<Result<Answer>> {
    if (traceHeaders['traceparent'] !== undefined) return this.#alone(namespace, key, traceHeaders);
    return this.#batches.add(namespace, key, key.length);
  }

  #alone(
    namespace: string,
    key: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Result<Answer>> {
    return ask(this.#nats, this.#subjects.cache(namespace, 'get'), { key }, { headers });
  }

  async #send(namespace: string, keys: readonly string[]): Promise<readonly Result<Answer>[]> {
    const [only] = keys;
    if (only !== undefined && keys.length === 1) return [await this.#alone(namespace, only)];
    const subject = this.#subjects.cache(namespace, 'get-many');
    const reply = await requestMessage(this.#nats, subject, { keys });
    if (!reply.ok) return keys.map(() => reply);
    const entries = entriesIn(reply.value);
    // One that was refused, or did not fit beside the others, is asked for by itself: its caller knows of no others.
    return Promise.all(keys.map(async (key, index) => entries[index] ?? this.#alone(namespace, key)));
  }
}

/** What every entry of a `get` begins with, unless it is an error. */
const entryHead = Buffer.from('{"hit":');

/** The answers in a reply of `get-many`, as they are written there; undefined for a refused one. */
function entriesIn(reply: Msg): readonly (Result<Answer> | undefined)[] {
  const { buffer, byteOffset, byteLength } = reply.data;
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  const said = saidHeaders(reply);
  const entries: (Result<Answer> | undefined)[] = [];
  visitMembers(bytes, 0, (name, items) => {
    if (!isNamed(bytes, name, 'items')) return;
    visitElements(bytes, items.start, (start) => {
      const end = skipJsonValue(bytes, start);
      const entry = bytes.subarray(start, end);
      const isEntry = entry.subarray(0, entryHead.length).equals(entryHead);
      entries.push(isEntry ? accept({ status: 200, json: entry, ...said }) : undefined);
      return end;
    });
  });
  return entries;
}
