import type { CacheRequestName } from '#shared/protocol/cache-schemas.ts';
import { slotsOf } from '#shared/protocol/cache-slots.ts';
import { type Encoding, encode } from '#shared/protocol/encoding.ts';
import { type Refusal, refuse } from '#shared/protocol/errors.ts';
import { replyBytesMax } from '#shared/protocol/limits.ts';
import { encodePart } from '#shared/protocol/splice.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Msg, type Nats, headers } from '#shared/runtime/nats.ts';
import { type RequestEncodings, isReplySubject, replyBytes } from '#shared/runtime/replies.ts';
import { itemsOf, withItems } from './batch-parts.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { Route } from './core/slot-table.ts';
import type { Decided } from './operations.ts';

/** A request at this node's door. */
export interface Arrived {
  readonly message: Msg;
  readonly namespace: string;
  readonly operation: CacheRequestName;
  /** `any`: from a caller who asks any node; `node`: from one who means this one; `peer`: from another node. */
  readonly via: 'any' | 'node' | 'peer';
  /** How often nodes have sent it on. */
  readonly hops: number;
  readonly encodings: RequestEncodings;
}

export interface ShardingOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly node: Pick<ClusterNode, 'routeOf' | 'id' | 'map'>;
  /** Takes up a request again. */
  readonly again: (arrived: Arrived) => void;
}

/** Maps differ for moments: a request that was sent on this often goes in a circle. */
const hopsMax = 5;
/** Requests that wait for their slot to arrive. */
const heldMax = 10_000;
/** How long another node may take for its part of a batch, in milliseconds. */
const partMsMax = 5_000;

/** Where requests are answered: here, at another node, or at several, each its part. */
export class Sharding {
  readonly #options: ShardingOptions;
  #held: Arrived[] = [];

  constructor(options: ShardingOptions) {
    this.#options = options;
  }

  /**
   * What becomes of a request that is not for this node alone.
   * @param keys  what it concerns
   * @param body  as it was decoded
   * @returns undefined when it is to be decided here and now; `later` when it was sent on, or waits for its slot
   */
  elsewhere(arrived: Arrived, keys: readonly string[], body: unknown): Decided | undefined {
    const slotOf = slotsOf(arrived.namespace);
    let isServed = true;
    for (const key of keys) {
      const { kind } = this.#options.node.routeOf(slotOf(key));
      if (kind === 'hold') return this.#hold(arrived);
      if (kind === 'nobody') return unowned;
      isServed &&= kind === 'serve';
    }
    return isServed ? undefined : this.#sendOn(arrived, keys, body);
  }

  /** Slots came, went, or have other owners: who waited for that is looked at again. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const arrived of held) this.#options.again(arrived);
  }

  #hold(arrived: Arrived): Decided {
    if (this.#held.length >= heldMax)
      return refuse('unavailable', 'too many requests wait for keys that move to this node').error;
    this.#held.push(arrived);
    return 'later';
  }

  #sendOn(arrived: Arrived, keys: readonly string[], body: unknown): Decided {
    const { node } = this.#options;
    const slotOf = slotsOf(arrived.namespace);
    // What this node owns and has not fetched yet it sends on to where it is; all else the caller should know better.
    if (arrived.via === 'node' && keys.some((key) => isForeign(node, slotOf(key))))
      return refuse('wrong_owner', 'another node answers for this key', { serial: node.map.serial }).error;
    if (arrived.hops >= hopsMax)
      return refuse('unavailable', 'the nodes do not agree yet on who answers for this key').error;
    const nodes = new Set(keys.map((key) => this.#nodeOf(node.routeOf(slotOf(key)))));
    const [only] = nodes;
    if (nodes.size === 1 && only !== undefined) return this.forward(arrived, only);
    void this.#split(arrived, body);
    return 'later';
  }

  /** To another node, which answers the caller itself. */
  forward(arrived: Arrived, node: string): Decided {
    const { message } = arrived;
    const reply = message.reply ?? '';
    // NATS does not check reply subjects against permissions: another one than an inbox may be a log.
    this.#options.nats.connection.publish(this.#peerSubject(arrived, node), message.data, {
      ...(isReplySubject(reply) ? { reply } : {}),
      ...(message.headers === undefined ? {} : { headers: message.headers }),
    });
    return 'later';
  }

  /** A batch whose keys are at several nodes: each gets its items, and the caller gets them in order. */
  async #split(arrived: Arrived, body: unknown): Promise<void> {
    const { message, encodings, operation } = arrived;
    const field = operation === 'set-many' ? 'items' : 'keys';
    const parts = itemsOf(message.data, field, encodings.request);
    const byNode = this.#byNode(arrived, body, parts.length);
    const merged: Uint8Array[] = [];
    await Promise.all(
      [...byNode].map(async ([node, indexes]) => {
        const part = withItems(
          indexes.map((index) => parts[index] ?? new Uint8Array()),
          field,
          encodings.request,
        );
        const items = await this.#askPart(arrived, node, part, indexes.length);
        for (const [at, index] of indexes.entries()) merged[index] = items[at] ?? new Uint8Array();
      }),
    );
    const items = fitting(merged, encodings.reply);
    replyBytes(message, withItems(items, 'items', encodings.reply), encodings.reply);
  }

  #byNode(arrived: Arrived, body: unknown, count: number): ReadonlyMap<string, readonly number[]> {
    const { node } = this.#options;
    const slotOf = slotsOf(arrived.namespace);
    const keys = keysOf(body);
    const byNode = new Map<string, number[]>();
    for (let index = 0; index < count; index += 1) {
      const key = keys[index];
      // What has no key is refused wherever it is read.
      const at =
        (typeof key === 'string' ? this.#nodeOf(node.routeOf(slotOf(key))) : undefined) ?? node.id ?? '';
      const indexes = byNode.get(at);
      if (indexes === undefined) byNode.set(at, [index]);
      else indexes.push(index);
    }
    return byNode;
  }

  /** Also to itself: so that every part is decided in one go, and in one way. */
  async #askPart(
    arrived: Arrived,
    node: string,
    part: Uint8Array,
    count: number,
  ): Promise<readonly Uint8Array[]> {
    const { request, reply } = arrived.encodings;
    const all = (error: Refusal) => Array.from({ length: count }, () => encode({ error }, reply));
    try {
      const answer = await this.#options.nats.connection.request(this.#peerSubject(arrived, node), part, {
        timeout: partMsMax,
        headers: partHeaders(request, reply),
      });
      const code = answer.headers?.get('Nats-Service-Error-Code');
      if (code === undefined || code === '') return itemsOf(answer.data, 'items', reply);
      return all(refuse('unavailable', answer.headers?.get('Nats-Service-Error') ?? code).error);
    } catch {
      return all(refuse('unavailable', 'the node that answers for this key does not answer just now').error);
    }
  }

  #nodeOf(route: Route): string | undefined {
    if (route.kind === 'forward') return route.node;
    return route.kind === 'nobody' ? undefined : this.#options.node.id;
  }

  #peerSubject({ hops, namespace, operation }: Arrived, node: string): string {
    return this.#options.subjects.cachePeer(node, 'forward', String(hops + 1), namespace, operation);
  }
}

function partHeaders(request: Encoding, reply: Encoding) {
  const made = headers();
  made.set('Content-Type', request);
  made.set('Accept', reply);
  return made;
}

const unowned = refuse('unavailable', 'no node answers for this key just now').error;

/** Whether the map says that the slot is another node's. */
function isForeign(node: ShardingOptions['node'], slot: number): boolean {
  return node.routeOf(slot).kind === 'forward' && node.map.owners[slot] !== node.id;
}

/** The key of each item of a batch, where it has one. */
function keysOf(body: unknown): readonly unknown[] {
  const { keys, items } = (body ?? {}) as { readonly keys?: unknown; readonly items?: unknown };
  if (Array.isArray(keys)) return keys;
  if (!Array.isArray(items)) return [];
  return items.map((item: unknown) => (item as { readonly key?: unknown } | null)?.key);
}

/** Refuses the items with which the reply would be too large. */
function fitting(items: readonly Uint8Array[], encoding: Encoding) {
  let left = replyBytesMax - 512 * (items.length + 2);
  return items.map((item) => {
    if (item.length <= 512) return item;
    left -= item.length;
    if (left >= 0) return item;
    left += item.length;
    const message = `the reply would pass ${replyBytesMax} bytes: ask for this key alone`;
    return encodePart({ error: { code: 'payload_too_large', message } }, encoding);
  });
}
