import type { SlotContents } from '#services/cache-node/hand-over.ts';

export interface VirtualEntry {
  readonly value: number;
  readonly version: number;
}

/** Entries by slot, in the simplest form that can be handed over. */
export class VirtualContents implements SlotContents {
  readonly slots = new Map<number, Map<string, VirtualEntry>>();
  #wanted: ReadonlySet<number> = new Set();
  #isPrepared = true;

  at(slot: number): Map<string, VirtualEntry> {
    const entries = this.slots.get(slot) ?? new Map<string, VirtualEntry>();
    this.slots.set(slot, entries);
    return entries;
  }

  keeps(): boolean {
    return false;
  }

  clear(): void {
    this.slots.clear();
  }

  prepare(slots: readonly number[]): void {
    if (slots.some((slot) => !this.#wanted.has(slot))) this.#isPrepared = false;
    this.#wanted = new Set(slots);
  }

  /** After something new was wanted, the first time it is not: so that waiting for it is part of every run. */
  isPrepared(): boolean {
    const answer = this.#isPrepared;
    this.#isPrepared = true;
    return answer;
  }

  ready(): undefined {
    return undefined;
  }

  taken(): Promise<void> {
    return Promise.resolve();
  }

  /** An entry a piece, so that every hand-over has several. */
  take(slot: number): readonly Uint8Array[] {
    const entries = [...this.at(slot)];
    this.slots.delete(slot);
    return entries.map((entry) => Buffer.from(JSON.stringify([slot, ...entry])));
  }

  admit(piece: Uint8Array): void {
    const [slot, key, entry] = JSON.parse(Buffer.from(piece).toString()) as [number, string, VirtualEntry];
    this.at(slot).set(key, entry);
  }

  admitted(): Promise<void> {
    return Promise.resolve();
  }

  drop(slots: readonly number[]): void {
    for (const slot of slots) this.slots.delete(slot);
  }
}
