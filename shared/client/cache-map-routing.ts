import { setTimeout as delay } from 'node:timers/promises';
import type { CacheMap } from '#shared/protocol/cache-map.ts';
import { readSlots } from '#shared/protocol/slot-text.ts';
import { slotsOf } from '#shared/protocol/cache-slots.ts';
import { decode, json } from '#shared/protocol/encoding.ts';
import type { Refusal } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Nats, onReconnect } from '#shared/runtime/nats.ts';
import { type CacheRouting, againMs, anyNode, isNotDone } from './cache-routing.ts';
import { requestReply } from './request.ts';

/** How long the map may take to come, in milliseconds. */
const mapMsMax = 2_000;

interface Known {
  readonly serial: number;
  readonly ids: ReadonlySet<string>;
  readonly owners: readonly (string | undefined)[];
  readonly isMoving: boolean;
}

/**
 * Which cache node answers for which key, as one client knows it: read when the cache is used first, and told anew
 * with every change. Until it is known, and where it is wrong, any node is asked, which sends the request on.
 */
export class CacheMapRouting {
  readonly #nats: Nats;
  readonly #subjects: Subjects;
  readonly #listeners = new Set<() => void>();
  #known: Known | undefined;
  #reading: Promise<boolean> | undefined;
  #hasBegun = false;

  constructor(nats: Nats, subjects: Subjects) {
    this.#nats = nats;
    this.#subjects = subjects;
  }

  /** The way of one namespace's requests. */
  of(namespace: string): CacheRouting {
    const any = anyNode(this.#subjects, namespace);
    const slotOf = slotsOf(namespace);
    const direct = new Map<string, Map<string, string>>();
    const nodeAt = new Map<string, string>();
    const directSubject = (operation: string, node: string): string => {
      const byNode = direct.get(operation) ?? new Map<string, string>();
      direct.set(operation, byNode);
      const known = byNode.get(node);
      if (known !== undefined) return known;
      const made = this.#subjects.cacheNode(namespace, operation, node);
      byNode.set(node, made);
      nodeAt.set(made, node);
      return made;
    };
    return {
      subjectOf: (operation, key) => {
        this.#begin();
        const node = key === undefined ? undefined : this.#known?.owners[slotOf(key)];
        return node === undefined ? any.subjectOf(operation, key) : directSubject(operation, node);
      },
      nodeOf: (key) => this.#known?.owners[slotOf(key)],
      isMoving: () => this.#known?.isMoving === true,
      refresh: () => this.#read(),
      instead: (subject, refusal) => {
        const node = nodeAt.get(subject);
        if (node === undefined) return any.instead(subject, refusal);
        if (!wasNotTaken(refusal)) return undefined;
        const operation =
          subject
            .slice(0, -node.length - 1)
            .split('.')
            .at(-1) ?? '';
        return this.#instead(node, refusal, { direct: subject, any: any.subjectOf(operation, undefined) });
      },
      onMove: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
  }

  async #instead(
    node: string,
    refusal: Refusal,
    subjects: { readonly direct: string; readonly any: string },
  ): Promise<string> {
    // A node that is there and refuses knows who else answers; one that is not there is in the map for moments still.
    if (refusal.code === 'unavailable') await delay(againMs);
    await this.#read();
    const isThere = this.#known?.ids.has(node) === true;
    return refusal.code === 'unavailable' && isThere ? subjects.direct : subjects.any;
  }

  /** Once: a client that never uses the cache hears nothing of it. */
  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    // After the end there is nothing to listen to, and the library throws; the request itself is then refused.
    const { connection } = this.#nats;
    if (connection.isClosed() || connection.isDraining()) return;
    connection.subscribe(this.#subjects.cacheMapEvents, {
      // Whoever may not listen here reads the map when a node refuses.
      callback: (error, message) => {
        const decoded = error === null ? decode(message.data, json) : undefined;
        if (decoded?.ok === true) this.#learn(decoded.value as CacheMap);
      },
    });
    onReconnect(this.#nats, () => void this.#read());
    void this.#read();
  }

  /** False where nobody answered. */
  #read(): Promise<boolean> {
    this.#reading ??= this.#ask().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #ask(): Promise<boolean> {
    const reply = await requestReply(this.#nats, this.#subjects.cacheMap, {}, { timeoutMs: mapMsMax });
    if (reply.ok) this.#learn(reply.value as CacheMap);
    return reply.ok;
  }

  #learn({ serial, nodes, owners, moving }: CacheMap): void {
    if (serial <= (this.#known?.serial ?? 0)) return;
    const ids = nodes.map((node) => node.id);
    const read = readSlots(owners, ids);
    if (read === undefined) return;
    this.#known = { serial, ids: new Set(ids), owners: read, isMoving: moving > 0 };
    for (const listener of this.#listeners) listener();
  }
}

/** Whether nothing was done of the request: another node answers for it, nobody listened where it went, or it was not let there. */
const wasNotTaken = (refusal: Refusal): boolean =>
  refusal.code === 'wrong_owner' ||
  refusal.code === 'forbidden' ||
  isNotDone(refusal) ||
  (refusal.code === 'unavailable' && refusal.details?.['noResponders'] === true);
