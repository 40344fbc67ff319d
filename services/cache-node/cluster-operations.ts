import type { CacheClusterStats, CacheStats, KeysRequest } from '#shared/protocol/cache-schemas.ts';
import { cacheSlots, slotsOf } from '#shared/protocol/cache-slots.ts';
import { type Refusal, type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { cacheKeysPageBytesMax, cacheKeysPageDefault } from '#shared/protocol/limits.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { ClusterNode } from './cluster-node.ts';
import { type KeysCursor, type Listing, firstCursor, readCursor, writeCursor } from './core/keys-cursor.ts';
import type { Namespace } from './core/namespace.ts';
import type { NamespaceSettings } from './core/namespace-settings.ts';
import { SlotSet } from './core/slot-set.ts';
import { clusterStats, summedStats } from './core/summed-stats.ts';
import type { Tier } from './tier.ts';

/** What this node itself does of an operation on all nodes. */
export interface OwnPart {
  /** Acts on a namespace, made where it is missing, tells the events that come of it, and waits for its backend. */
  within<Value>(
    namespace: string,
    act: (namespace: Namespace, nowMs: number, tier: Tier | undefined) => Value,
  ): Promise<Result<Value>>;
  /** Keeps settings for all nodes, and lets them hold here. */
  configure(namespace: string, settings: Partial<NamespaceSettings>): Promise<Refusal | undefined>;
  /** Reads the settings of a namespace again. */
  refresh(namespace: string): Promise<void>;
  has(namespace: string): boolean;
  allStats(): readonly CacheStats[];
}

export interface ClusterOperationsOptions {
  readonly node: ClusterNode;
  readonly own: OwnPart;
  readonly clock: Clock;
  readonly ask: (node: string, question: Question) => Promise<unknown>;
  readonly failed: (error: unknown) => void;
}

type Question =
  | { readonly kind: 'clear'; readonly namespace: string }
  | { readonly kind: 'tags'; readonly namespace: string; readonly tags: readonly string[] }
  | { readonly kind: 'raise'; readonly version: number }
  | { readonly kind: 'stats'; readonly namespace?: string }
  | KeysQuestion
  | { readonly kind: 'configured'; readonly namespace: string };

interface KeysQuestion {
  readonly kind: 'keys';
  readonly namespace: string;
  readonly prefix: string;
  readonly limit: number;
  /** Slots that are wanted, and, where a listing goes on, since which map and where. */
  readonly slots: string;
  readonly since?: number;
  readonly cursor?: string;
}

interface KeysAnswer {
  readonly keys: readonly string[];
  readonly cursor?: string;
  /** Those of the wanted slots that this node has, and had all the time. */
  readonly slots: string;
  readonly serial: number;
}

interface Covered {
  /** The slots that were acted on. */
  readonly slots: string;
  readonly count: number;
  readonly version: number;
}

/** How long all slots may take to be reached while some of them move, in milliseconds. */
const coverMsMax = 8_000;
const againMs = 50;

/** Operations that concern all nodes: one of them asks all the others, and answers for them. */
export class ClusterOperations {
  readonly #options: ClusterOperationsOptions;

  constructor(options: ClusterOperationsOptions) {
    this.#options = options;
  }

  async clear(namespace: string): Promise<Result<{ readonly cleared: number }>> {
    const counts = await this.#cover({ kind: 'clear', namespace });
    return counts.ok ? accept({ cleared: counts.value.reduce((sum, count) => sum + count, 0) }) : counts;
  }

  /** How many of the tags were known: on the node that knew most of them. */
  async invalidateTags(
    namespace: string,
    tags: readonly string[],
  ): Promise<Result<{ readonly tags: number }>> {
    const counts = await this.#cover({ kind: 'tags', namespace, tags });
    return counts.ok ? accept({ tags: Math.max(0, ...counts.value) }) : counts;
  }

  async stats(namespace: string): Promise<Result<CacheStats>> {
    const answers = await this.#askAll<readonly CacheStats[]>({ kind: 'stats', namespace });
    if (!answers.ok) return answers;
    const [first, ...others] = answers.value.flat();
    if (first !== undefined) return accept(summedStats(first, others));
    return this.#options.own.within(namespace, (one, nowMs) => one.stats(nowMs));
  }

  async clusterStats(): Promise<Result<CacheClusterStats>> {
    const answers = await this.#askAll<readonly CacheStats[]>({ kind: 'stats' });
    return answers.ok ? accept(clusterStats(answers.value)) : answers;
  }

  /**
   * A page of keys, of one node. A key that did not change and did not move comes exactly once; where slots move while
   * their node is listed, their keys may come again, and none is left out.
   */
  async keys(
    namespace: string,
    { prefix = '', limit = cacheKeysPageDefault, cursor }: KeysRequest,
  ): Promise<Result<{ readonly keys: readonly string[]; readonly cursor?: string }>> {
    const listing = { namespace, prefix };
    const from = cursor === undefined ? firstCursor() : readCursor(cursor, listing);
    if (from === undefined) return refuseField('cursor', 'must be as keys returned it');
    const { clock } = this.#options;
    let { done, at } = from;
    const untilMs = clock.monotonicMs() + coverMsMax;
    const found: string[] = [];
    let bytes = 0;
    while (!done.isFull) {
      const id = at?.node ?? this.#nodeWithout(done);
      const wanted = at?.slots ?? missingIn(done);
      const answer =
        id === undefined
          ? undefined
          : await this.#keysOf(id, {
              kind: 'keys',
              namespace,
              prefix,
              limit: limit - found.length,
              slots: wanted.write(),
              ...(at === undefined ? {} : { since: at.serial, cursor: at.cursor }),
            });
      if (answer === undefined || id === undefined) {
        // The node has gone: what it had not listed to the end is listed where it is now.
        at = undefined;
        if (found.length > 0) return pageOf(found, { done }, listing);
        if (clock.monotonicMs() > untilMs) return notAll;
        await sleep(clock, againMs);
        continue;
      }
      for (const key of answer.keys) bytes += Buffer.byteLength(key);
      found.push(...answer.keys);
      const slots = SlotSet.read(answer.slots) ?? new SlotSet();
      if (answer.cursor === undefined) {
        const before = done.write();
        done.addAll(slots);
        at = undefined;
        // Nothing of what was wanted is there (any more): it is on its way.
        if (done.write() === before) await sleep(clock, againMs);
        if (clock.monotonicMs() > untilMs && !done.isFull)
          return found.length === 0 ? notAll : pageOf(found, { done }, listing);
      } else at = { node: id, slots, serial: at?.serial ?? answer.serial, cursor: answer.cursor };
      const isFull = found.length >= limit || bytes >= cacheKeysPageBytesMax || answer.cursor !== undefined;
      if (isFull && !done.isFull) return pageOf(found, at === undefined ? { done } : { done, at }, listing);
    }
    return accept({ keys: found });
  }

  /** Changes the settings everywhere and for good; a refusal changes nothing anywhere. */
  async configure(namespace: string, settings: Partial<NamespaceSettings>): Promise<Result<CacheStats>> {
    const { own, ask, failed } = this.#options;
    try {
      await own.refresh(namespace);
      const refusal = await own.configure(namespace, settings);
      if (refusal !== undefined) return { ok: false, error: refusal };
    } catch (error) {
      failed(error);
      return refuse('unavailable', 'the settings could not be kept, and are as they were: try again');
    }
    // Who does not hear of it now reads it when it is connected again.
    await Promise.allSettled(this.#others().map((id) => ask(id, { kind: 'configured', namespace })));
    return this.stats(namespace);
  }

  /** What another node, or this one, asks of this node. Rejects when it may not answer. */
  async answer(question: Question): Promise<unknown> {
    const { node, own } = this.#options;
    if (question.kind === 'raise') {
      node.versions.raise(question.version);
      return null;
    }
    if (question.kind === 'configured') return own.refresh(question.namespace);
    if (question.kind === 'stats') return this.#ownStats(question.namespace);
    if (!node.mayServe()) throw new Error('this node may answer for nothing just now');
    if (question.kind === 'keys') return this.#ownKeys(question);
    const slots = SlotSet.of(node.heldSlots()).write();
    let count = 0;
    if (own.has(question.namespace)) {
      const done = await own.within(question.namespace, (one, nowMs) => {
        count = question.kind === 'clear' ? one.clear(nowMs) : one.invalidateTags(question.tags);
      });
      if (!done.ok) throw new Error(done.error.message);
    }
    return { slots, count, version: node.versions.newest } satisfies Covered;
  }

  async #ownStats(namespace: string | undefined): Promise<readonly CacheStats[]> {
    const { own } = this.#options;
    if (namespace === undefined) return own.allStats();
    if (!own.has(namespace)) return [];
    const stats = await own.within(namespace, (one, nowMs) => one.stats(nowMs));
    return stats.ok ? [stats.value] : [];
  }

  async #ownKeys(question: KeysQuestion): Promise<KeysAnswer | undefined> {
    const { namespace, slots, since } = question;
    const { node, own } = this.#options;
    const wanted = SlotSet.read(slots) ?? new SlotSet();
    const { serial } = node.map;
    const stillIn = (slots: SlotSet): SlotSet =>
      SlotSet.of(
        node.heldSlots().filter((slot) => slots.has(slot) && node.heldSince(slot) <= (since ?? serial)),
      );
    const here = stillIn(wanted);
    if (!own.has(namespace)) return { keys: [], slots: here.write(), serial };
    const slotOf = slotsOf(namespace);
    const page = await this.#ownPage(question, (key) => here.has(slotOf(key)));
    // What another node fetched while the page was read was perhaps gone from it already.
    return page === undefined ? undefined : { ...page, slots: stillIn(here).write(), serial };
  }

  /** From the backend, where there is one that answers; else from memory. */
  async #ownPage({ namespace, prefix, limit, cursor }: KeysQuestion, wanted: (key: string) => boolean) {
    const page = await this.#options.own.within(namespace, async (one, nowMs, tier) => {
      const behind = await tier?.page({
        prefix,
        cursor,
        keysMax: limit,
        keyBytesMax: cacheKeysPageBytesMax,
        nowMs,
      });
      if (behind === 'cursor') return undefined;
      if (behind !== undefined) return { ...behind, keys: behind.keys.filter(wanted) };
      const keys = one.keys({ prefix, limit, cursor, wanted }, nowMs);
      return keys.ok ? keys.value : undefined;
    });
    return page.ok ? page.value : undefined;
  }

  async #keysOf(id: string, question: KeysQuestion): Promise<KeysAnswer | undefined> {
    if (!this.#options.node.map.nodes.some((one) => one.id === id)) return undefined;
    try {
      return (await this.#askOne(id, question)) as KeysAnswer | undefined;
    } catch (error) {
      this.#options.failed(error);
      return undefined;
    }
  }

  /** A node that has, by the map, a slot that is not done yet: the one that holds it while it moves. */
  #nodeWithout(done: SlotSet): string | undefined {
    const { map } = this.#options.node;
    for (const slot of missingIn(done)) {
      const id = map.from.get(slot) ?? map.owners[slot];
      if (id !== undefined) return id;
    }
    return undefined;
  }

  /**
   * Asks until every slot was acted on by the node that answered for it then: a slot that moves meanwhile is met
   * before, with what moves, or behind. Afterwards versions of all nodes are above those of the operation.
   */
  async #cover(question: Question): Promise<Result<readonly number[]>> {
    const { clock, node, failed } = this.#options;
    const covered = new SlotSet();
    const counts: number[] = [];
    let version = 0;
    const untilMs = clock.monotonicMs() + coverMsMax;
    while (!covered.isFull) {
      if (clock.monotonicMs() > untilMs) return notAll;
      if (counts.length > 0) await sleep(clock, againMs);
      const missing = new Set<string>();
      for (const slot of missingIn(covered))
        for (const id of [node.map.owners[slot], node.map.from.get(slot)])
          if (id !== undefined) missing.add(id);
      if (missing.size === 0) await sleep(clock, againMs);
      await Promise.all(
        [...missing].map(async (id) => {
          try {
            const answer = (await this.#askOne(id, question)) as Covered;
            covered.addAll(SlotSet.read(answer.slots) ?? new SlotSet());
            counts.push(answer.count);
            version = Math.max(version, answer.version);
          } catch (error) {
            failed(error);
            await sleep(clock, againMs);
          }
        }),
      );
    }
    await Promise.allSettled(node.map.nodes.map(({ id }) => this.#askOne(id, { kind: 'raise', version })));
    return accept(counts);
  }

  async #askAll<Answer>(question: Question): Promise<Result<readonly Answer[]>> {
    const { node, failed } = this.#options;
    try {
      return accept(
        (await Promise.all(node.map.nodes.map(({ id }) => this.#askOne(id, question)))) as readonly Answer[],
      );
    } catch (error) {
      failed(error);
      return notAll;
    }
  }

  #askOne(id: string, question: Question): Promise<unknown> {
    if (id !== this.#options.node.id) return this.#options.ask(id, question);
    return this.answer(question);
  }

  #others(): readonly string[] {
    const { node } = this.#options;
    return node.map.nodes.map(({ id }) => id).filter((id) => id !== node.id);
  }
}

const notAll = refuse('unavailable', 'not every node of the cache answers just now: ask again');

const missingIn = (done: SlotSet): SlotSet => {
  const missing = new SlotSet();
  for (let slot = 0; slot < cacheSlots; slot += 1) if (!done.has(slot)) missing.add(slot);
  return missing;
};

const pageOf = (keys: readonly string[], cursor: KeysCursor, listing: Listing) =>
  accept({ keys, cursor: writeCursor(cursor, listing) });
