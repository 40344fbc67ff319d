import type { CacheRequestName } from '#shared/protocol/cache-schemas.ts';
import { slotsOf } from '#shared/protocol/cache-slots.ts';
import { type Encoding, decode, encode } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, notDone, refuse } from '#shared/protocol/errors.ts';
import { replyBytesMax } from '#shared/protocol/limits.ts';
import { encodePart } from '#shared/protocol/splice.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
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
  readonly clock: Clock;
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
/** Between two looks at who answers for a part that nobody took, in milliseconds. */
const partAgainMs = 50;

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
      return refuse('unavailable', 'too many requests wait for keys that move to this node', notDone).error;
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
      return refuse('unavailable', 'the nodes do not agree yet on who answers for this key', notDone).error;
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
    const parts = itemsOf(message.data, fieldOf(operation), encodings.request);
    const keys = keysOf(body);
    const untilMs = this.#options.clock.monotonicMs() + partMsMax;
    const items = parts.map((bytes, index) => ({ bytes, key: keys[index] }));
    const merged = fitting(await this.#answered(arrived, items, untilMs), encodings.reply);
    replyBytes(message, withItems(merged, 'items', encodings.reply), encodings.reply);
  }

  /** The answers to the items, in their order. What a node did not take goes to whoever answers for it then. */
  async #answered(
    arrived: Arrived,
    items: readonly BatchItem[],
    untilMs: number,
  ): Promise<readonly Uint8Array[]> {
    const merged: Uint8Array[] = [];
    await Promise.all(
      [...this.#byNode(arrived, items)].map(async ([node, indexes]) => {
        const part = indexes.map((index) => items[index] ?? noItem);
        const replies = await this.#partAnswered(arrived, { node, part, untilMs });
        for (const [at, index] of indexes.entries()) merged[index] = replies[at] ?? new Uint8Array();
      }),
    );
    return merged;
  }

  async #partAnswered(
    arrived: Arrived,
    {
      node,
      part,
      untilMs,
    }: { readonly node: string; readonly part: readonly BatchItem[]; readonly untilMs: number },
  ): Promise<readonly Uint8Array[]> {
    const { clock } = this.#options;
    const answer = await this.#askPart(arrived, node, part);
    if (answer.ok) return answer.value;
    if (answer.error.details?.['notDone'] === true && clock.monotonicMs() < untilMs) {
      await sleep(clock, partAgainMs);
      return this.#answered(arrived, part, untilMs);
    }
    return part.map(() => encode({ error: answer.error }, arrived.encodings.reply));
  }

  #byNode(arrived: Arrived, items: readonly BatchItem[]): ReadonlyMap<string, readonly number[]> {
    const { node } = this.#options;
    const slotOf = slotsOf(arrived.namespace);
    const byNode = new Map<string, number[]>();
    for (const [index, { key }] of items.entries()) {
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
    part: readonly BatchItem[],
  ): Promise<Result<readonly Uint8Array[]>> {
    const { request, reply } = arrived.encodings;
    const body = withItems(
      part.map(({ bytes }) => bytes),
      fieldOf(arrived.operation),
      request,
    );
    try {
      const answer = await this.#options.nats.connection.request(this.#peerSubject(arrived, node), body, {
        timeout: partMsMax,
        headers: partHeaders(request, reply),
      });
      const code = answer.headers?.get('Nats-Service-Error-Code');
      if (code === undefined || code === '') return accept(itemsOf(answer.data, 'items', reply));
      return refusalIn(answer.data, reply);
    } catch (error) {
      const isGone = error instanceof Error && error.message.includes('no responders');
      const problem = 'the node that answers for this key does not answer just now';
      return refuse('unavailable', problem, isGone ? notDone : undefined);
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

interface BatchItem {
  /** As it was written. */
  readonly bytes: Uint8Array;
  readonly key: unknown;
}

const noItem: BatchItem = { bytes: new Uint8Array(), key: undefined };

const fieldOf = (operation: string): 'items' | 'keys' => (operation === 'set-many' ? 'items' : 'keys');

/** Why a node refused a part as a whole: as `unavailable`, since the caller's request is a good one. */
function refusalIn(data: Uint8Array, encoding: Encoding): Result<never> {
  const decoded = decode(data, encoding);
  const { message, details } =
    (decoded.ok ? (decoded.value as { error?: Partial<Refusal> }) : {}).error ?? {};
  return refuse('unavailable', message ?? 'the node that answers for this key refuses', details);
}

const unowned = refuse('unavailable', 'no node answers for this key just now', notDone).error;

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
