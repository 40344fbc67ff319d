import { slotsOf } from '#shared/protocol/cache-slots.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { FillRecord } from './core/fills.ts';
import type { Namespace } from './core/namespace.ts';
import type { Namespaces } from './core/namespaces.ts';
import type { EntryRecord } from './core/residence.ts';
import type { SlotContents } from './hand-over.ts';
import type { Tier } from './tier.ts';
import { readPiece, writePiece } from './slot-records.ts';

export interface NodeContentsOptions {
  readonly namespaces: () => Namespaces;
  readonly clock: Clock;
  /** What stands behind a namespace. */
  readonly tierOf: (namespace: Namespace) => Tier | undefined;
  /** The same where it is a file: entries are there that are not in memory, and go along. */
  readonly fileOf: (namespace: Namespace) => Tier | undefined;
  /** What entries expire by, from monotonic time. */
  readonly wallMs: (monotonicMs: number) => number;
  /** Those who wait for a fill of a key in the slot have to be sent to where it goes. */
  readonly dismissed: (namespace: Namespace, isGoing: (key: string) => boolean) => void;
  /** Forgets all namespaces. */
  readonly clear: () => void;
}

/** Entries that are looked at in one go while slots are looked for: some milliseconds. */
const scanMax = 10_000;
/** An entry's weight beside key and value, roughly. */
const entryBytes = 128;
/** Keys that are read from a file in one go. */
const readMax = 500;
/** Bytes of keys that are read from a file in one go. */
const filePageBytesMax = 1_048_576;

/**
 * The namespaces of a node as what is in its slots. Entries do not stand by slot: before slots are given, all keys are
 * gone through once, some at a time while requests are answered, and those of the slots are remembered.
 */
export class NodeContents implements SlotContents {
  readonly #options: NodeContentsOptions;
  /** By slot that is to be given, and namespace: the keys that are there, or were. */
  readonly #keys = new Map<number, Map<string, Set<string>>>();
  /** Namespaces whose file could not be read when keys were looked for: it has more of these slots than is known. */
  readonly #unread = new Set<Namespace>();
  /** Slots of which something came here, also where the rest never did. */
  readonly #admitted = new Set<number>();
  /** What was read of files and has to stay at hand until it is taken out. */
  readonly #held: (() => void)[] = [];
  /** What is on its way out of the files. */
  readonly #leaving: Promise<unknown>[] = [];
  #run = 0;
  #isPrepared = true;

  constructor(options: NodeContentsOptions) {
    this.#options = options;
  }

  keeps(): boolean {
    const { namespaces, fileOf } = this.#options;
    const files = [...namespaces().all()].map(fileOf).filter((file) => file !== undefined);
    return files.length > 0 && files.every((file) => file.isRight);
  }

  prepare(slots: readonly number[]): void {
    const wanted = new Set(slots);
    for (const slot of this.#keys.keys()) if (!wanted.has(slot)) this.#keys.delete(slot);
    const isNew = slots.some((slot) => !this.#keys.has(slot));
    for (const slot of slots) if (!this.#keys.has(slot)) this.#keys.set(slot, new Map());
    if (!isNew) return;
    this.#isPrepared = false;
    this.#run += 1;
    void this.#scan(this.#run);
  }

  ready(slots: readonly number[]): Promise<void> | undefined {
    for (const namespace of this.#options.namespaces().all()) {
      const file = this.#options.fileOf(namespace);
      if (file === undefined) continue;
      const keys = slots.flatMap((slot) => [...(this.#keys.get(slot)?.get(namespace.name) ?? [])]);
      const untilMs = file.untilMs(this.#options.clock.monotonicMs());
      for (let at = 0; at < keys.length; at += readMax) {
        const some = keys.slice(at, at + readMax);
        const reading = file.gather(some, untilMs);
        if (reading === undefined) continue;
        // Memory may have no room for them.
        this.#held.push(file.fetched.hold(some));
        return reading;
      }
    }
    const held = this.#held.splice(0);
    this.#options.clock.after(0, () => {
      for (const release of held) release();
    });
    return undefined;
  }

  async taken(): Promise<void> {
    const { namespaces, tierOf } = this.#options;
    const certain = [...namespaces().all()].map(async (namespace) => tierOf(namespace)?.certain());
    await Promise.all([...certain, ...this.#leaving.splice(0)]);
  }

  isPrepared(): boolean {
    return this.#isPrepared;
  }

  /** A request concerned these keys: what it made must be found when its slot is given. */
  noteKeys(namespace: string, keys: readonly string[]): void {
    if (this.#keys.size === 0) return;
    const slotOf = slotsOf(namespace);
    for (const key of keys) this.#note(slotOf(key), namespace, key);
  }

  take(slot: number, pieceBytesMax: number): readonly Uint8Array[] {
    const pieces: Uint8Array[] = [];
    const nowMs = this.#nowMs();
    for (const namespace of this.#options.namespaces().all()) {
      const slotOf = slotsOf(namespace.name);
      const isHere = (key: string): boolean => slotOf(key) === slot;
      const add = (entries: readonly EntryRecord[], fills: readonly FillRecord[]) =>
        pieces.push(writePiece({ namespace: namespace.name, entries, fills }, nowMs));
      // Which tags were invalidated here the other node does not know: a right from before that ends.
      const isGood = (one: FillRecord): boolean =>
        one.kind === 'failure' || !namespace.residents.isAnyTagAbove(one.token);
      const fills = namespace.fills.records(isHere, nowMs).filter(isGood);
      if (fills.length > 0) add([], fills);
      let entries: EntryRecord[] = [];
      let bytes = 0;
      const file = this.#options.fileOf(namespace);
      file?.deciding(file.untilMs(this.#options.clock.monotonicMs()));
      for (const key of this.#keys.get(slot)?.get(namespace.name) ?? []) {
        const record = file === undefined ? namespace.residents.peek(key, nowMs) : file.view.found(key);
        // The bytes are good until the next call.
        if (record !== undefined)
          entries.push({ ...record, value: { ...record.value, bytes: Buffer.from(record.value.bytes) } });
        namespace.residents.discard(key);
        // What another node may change from now on must not be found here when the slot comes back.
        file?.note({ kind: 'deleted', key, version: record?.version ?? 0 });
        if (record === undefined) continue;
        bytes += entryBytes + key.length + record.value.bytes.length;
        if (bytes < pieceBytesMax) continue;
        add(entries, []);
        entries = [];
        bytes = 0;
      }
      if (entries.length > 0) add(entries, []);
      const leaving = file?.decided();
      if (leaving !== undefined) this.#leaving.push(leaving);
      if (this.#unread.delete(namespace) && file !== undefined) this.#leaving.push(file.distrust());
      this.#options.dismissed(namespace, isHere);
    }
    this.#keys.delete(slot);
    this.#admitted.delete(slot);
    return pieces;
  }

  admit(piece: Uint8Array, takenMs: number): void {
    const namespaces = this.#options.namespaces();
    const { namespace: name, entries, fills } = readPiece(piece, this.#options.wallMs(takenMs));
    const namespace = namespaces.open(name);
    // A node that has its most namespaces has no room for another one: what was there is missed, not wrong.
    if (!namespace.ok) return;
    const nowMs = this.#nowMs();
    const { residents } = namespace.value;
    const file = this.#options.fileOf(namespace.value);
    file?.deciding(file.untilMs(this.#options.clock.monotonicMs()));
    const slotOf = slotsOf(name);
    for (const entry of entries) {
      this.#admitted.add(slotOf(entry.key));
      const isIn = residents.admit(entry, nowMs);
      // A version of another node may be below the version of an invalidation here, and the entry newer than that: it
      // was alive where it was. It gets a version of this node.
      if (!isIn) residents.readmit(entry, nowMs);
      const version = residents.peek(entry.key, nowMs)?.version;
      if (version !== undefined) file?.note({ kind: 'written', key: entry.key, version });
    }
    void file?.decided();
    for (const fill of fills) namespace.value.fills.admit(fill, nowMs);
    namespaces.keepWithinBytes(nowMs);
  }

  /** Files write one piece after the other: all at once would not be written in time. */
  async admitted(): Promise<void> {
    const { namespaces, fileOf } = this.#options;
    await Promise.all([...namespaces().all()].map(async (namespace) => fileOf(namespace)?.quiet()));
  }

  drop(slots: readonly number[]): void {
    if (slots.length === 0) return;
    const gone = new Set(slots);
    const isInFiles = slots.some((slot) => this.#admitted.delete(slot));
    for (const namespace of this.#options.namespaces().all()) {
      // What came of them is in files, perhaps there alone, and would be found when they come back.
      if (isInFiles) void this.#options.fileOf(namespace)?.distrust();
      const slotOf = slotsOf(namespace.name);
      const wanted = (key: string): boolean => gone.has(slotOf(key));
      let cursor: string | undefined;
      do ({ cursor } = namespace.residents.forget({ cursor, scanMax, wanted }));
      while (cursor !== undefined);
      namespace.fills.close(wanted);
    }
  }

  clear(): void {
    this.#run += 1;
    this.#keys.clear();
    this.#unread.clear();
    this.#admitted.clear();
    this.#isPrepared = true;
    this.#options.clear();
  }

  async #scan(run: number): Promise<void> {
    for (const namespace of this.#options.namespaces().all()) {
      const { name, residents } = namespace;
      const slotOf = slotsOf(name);
      await this.#scanFile(run, namespace);
      let cursor: string | undefined;
      do {
        if (run !== this.#run) return;
        const page = residents.records(
          {
            cursor,
            scanMax,
            entriesMax: 1,
            bytesMax: 1,
            // Only keys are wanted: no record is made.
            wanted: (key) => {
              const slot = slotOf(key);
              if (this.#keys.has(slot)) this.#note(slot, name, key);
              return false;
            },
          },
          this.#nowMs(),
        );
        cursor = page?.cursor;
        await sleep(this.#options.clock, 0);
      } while (cursor !== undefined);
    }
    if (run === this.#run) this.#isPrepared = true;
  }

  async #scanFile(run: number, namespace: Namespace): Promise<void> {
    const { fileOf, clock } = this.#options;
    const slotOf = slotsOf(namespace.name);
    let cursor: string | undefined;
    do {
      const file = fileOf(namespace);
      if (file === undefined) return;
      const page = await file.page({
        prefix: '',
        cursor,
        keysMax: scanMax,
        keyBytesMax: filePageBytesMax,
        nowMs: this.#nowMs(),
      });
      if (run !== this.#run) return;
      if (page === undefined || page === 'cursor') {
        // Memory answers where the file cannot: what it has is found below.
        this.#unread.add(namespace);
        return;
      }
      for (const key of page.keys) this.#note(slotOf(key), namespace.name, key);
      ({ cursor } = page);
      await sleep(clock, 0);
    } while (cursor !== undefined);
  }

  #note(slot: number, namespace: string, key: string): void {
    const byNamespace = this.#keys.get(slot);
    if (byNamespace === undefined) return;
    const keys = byNamespace.get(namespace);
    if (keys === undefined) byNamespace.set(namespace, new Set([key]));
    else keys.add(key);
  }

  #nowMs(): number {
    return this.#options.wallMs(this.#options.clock.monotonicMs());
  }
}
