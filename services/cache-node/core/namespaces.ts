import type { CacheClusterStats } from '#shared/protocol/cache-schemas.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { cacheNamespacesMax } from '#shared/protocol/limits.ts';
import { keyHash } from './key-hash.ts';
import { Namespace } from './namespace.ts';
import { PackedStore } from './packed-store.ts';
import type { NamespaceSettings } from './namespace-settings.ts';
import type { NoteChange } from './residence.ts';
import { totalStats } from './summed-stats.ts';

/** Where versions come from: never one twice, over nodes and restarts, and in the life of a key only upwards. */
export interface VersionSource {
  next(): number;
  /** Later ones are above `version`. */
  raise(version: number): void;
}

export interface NamespacesOptions {
  readonly versions: VersionSource;
  /** What all namespaces together may hold, by the measure of the quotas. */
  readonly bytesMax: number;
  /** Names this run of this node; no other run of any node has it. */
  readonly epoch: string;
  /** Uniform in [0, 1). */
  readonly random01: () => number;
  /** Two words of 32 bits that nobody can guess: who knew them could choose keys that all meet in one place. */
  readonly hashSecret: readonly [number, number];
  /** What a namespace was configured to be, before this node began or while it held nothing. */
  readonly settingsOf?: (namespace: string) => NamespaceSettings | undefined;
  /** Who hears of the changes of a namespace, where somebody must. */
  readonly noteOf?: (namespace: string) => NoteChange | undefined;
}

/** The namespaces of one node. They exist from the first that is written or configured; only so many may. */
export class Namespaces {
  readonly #options: NamespacesOptions;
  readonly #byName = new Map<string, Namespace>();
  readonly #hash: (key: string) => number;
  /** How many namespaces were made: each has an epoch of its own, also when it comes back. */
  #made = 0;
  /** Where the next round of expiry begins, so that one namespace does not take all of it. */
  #expiryTurn = 0;
  #share = 1;

  constructor(options: NamespacesOptions) {
    this.#options = options;
    this.#hash = keyHash(options.hashSecret);
  }

  /** The namespace of that name. At the cap one that holds nothing makes room; `unavailable` when none does. */
  open(name: string): Result<Namespace> {
    const known = this.#byName.get(name);
    if (known !== undefined) return accept(known);
    if (this.#byName.size >= cacheNamespacesMax && !this.#dropIdle())
      return refuse('unavailable', `this node holds its most namespaces already (${cacheNamespacesMax})`);
    this.#made += 1;
    const made = new Namespace({
      name,
      epoch: `${this.#options.epoch}.${this.#made.toString(36)}`,
      makeStore: (strategy) => new PackedStore(this.#hash, strategy),
      nextVersion: () => this.#options.versions.next(),
      sawVersion: (version) => this.#options.versions.raise(version),
      random01: this.#options.random01,
      note: this.#options.noteOf?.(name),
    });
    const settings = this.#options.settingsOf?.(name);
    if (settings !== undefined) made.configure(settings, 0);
    made.residents.setShare(this.#share);
    this.#byName.set(name, made);
    return accept(made);
  }

  /** The namespace, where there is one. */
  find(name: string): Namespace | undefined {
    return this.#byName.get(name);
  }

  /**
   * The namespace of that name for one question, and what to call behind it: a namespace that there was not before, and
   * in which nothing was put meanwhile, is then as little there as before.
   */
  visit(name: string): { readonly opened: Result<Namespace>; readonly leave: () => void } {
    if (this.#byName.has(name)) return { opened: this.open(name), leave: stays };
    const opened = this.open(name);
    const leave = () => {
      if (opened.ok && opened.value.isIdle && this.#byName.get(name) === opened.value)
        this.#byName.delete(name);
    };
    return { opened, leave };
  }

  /** What part of the keys is on this node: its quotas are that part of what was configured. */
  setShare(share: number): void {
    this.#share = share;
    for (const namespace of this.#byName.values()) namespace.residents.setShare(share);
  }

  all(): Iterable<Namespace> {
    return this.#byName.values();
  }

  /** After a write: while the node holds too much, its largest namespace gives up entries. */
  keepWithinBytes(nowMs: number): void {
    let bytes = 0;
    for (const namespace of this.#byName.values()) bytes += namespace.bytes;
    while (bytes > this.#options.bytesMax) {
      const largest = this.#largest();
      const before = largest?.bytes ?? 0;
      if (largest === undefined || !largest.residents.evict('node', nowMs)) return;
      bytes -= before - largest.bytes;
    }
  }

  /** Removes expired entries and ends fills and waits, at most `stepsMax`; returns how many. Fewer: none is left. */
  expire(stepsMax: number, nowMs: number): number {
    const all = [...this.#byName.values()];
    let expired = 0;
    for (let turn = 0; turn < all.length && expired < stepsMax; turn += 1) {
      const namespace = all[(this.#expiryTurn + turn) % all.length];
      expired += namespace?.expire(stepsMax - expired, nowMs) ?? 0;
    }
    this.#expiryTurn = all.length === 0 ? 0 : (this.#expiryTurn + 1) % all.length;
    return expired;
  }

  /** When a lease or a wait of a `load` ends next; Infinity when none is there. */
  nextDueMs(): number {
    let next = Infinity;
    for (const namespace of this.#byName.values()) next = Math.min(next, namespace.fills.nextDueMs);
    return next;
  }

  stats(nowMs: number): CacheClusterStats {
    return totalStats([...this.#byName.values()].map((namespace) => namespace.stats(nowMs)));
  }

  #largest(): Namespace | undefined {
    let largest: Namespace | undefined;
    for (const namespace of this.#byName.values())
      if (largest === undefined || namespace.bytes > largest.bytes) largest = namespace;
    return largest;
  }

  #dropIdle(): boolean {
    for (const [name, namespace] of this.#byName) {
      if (!namespace.isIdle) continue;
      this.#byName.delete(name);
      return true;
    }
    return false;
  }
}

/** What was there before a question is there behind it. */
const stays = (): void => undefined;
