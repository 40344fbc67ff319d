import { cacheSlots } from '#shared/protocol/cache-slots.ts';

/** A set of slots as it travels: base64 of a bit for each. */
export class SlotSet {
  readonly #bits: Uint8Array;

  constructor(bits: Uint8Array = new Uint8Array(cacheSlots / 8)) {
    this.#bits = bits;
  }

  /** Undefined for a text that is none of ours. */
  static read(text: string): SlotSet | undefined {
    const bits = Buffer.from(text, 'base64url');
    return bits.length === cacheSlots / 8 ? new SlotSet(Uint8Array.from(bits)) : undefined;
  }

  static of(slots: Iterable<number>): SlotSet {
    const made = new SlotSet();
    for (const slot of slots) made.add(slot);
    return made;
  }

  add(slot: number): void {
    this.#bits[slot >> 3] = (this.#bits[slot >> 3] ?? 0) | (1 << (slot & 7));
  }

  has(slot: number): boolean {
    return ((this.#bits[slot >> 3] ?? 0) & (1 << (slot & 7))) !== 0;
  }

  addAll(other: SlotSet): void {
    for (const [index, bits] of other.#bits.entries()) this.#bits[index] = (this.#bits[index] ?? 0) | bits;
  }

  get isFull(): boolean {
    return this.#bits.every((bits) => bits === 0xff);
  }

  *[Symbol.iterator](): Iterator<number> {
    for (let slot = 0; slot < cacheSlots; slot += 1) if (this.has(slot)) yield slot;
  }

  write(): string {
    return Buffer.from(this.#bits).toString('base64url');
  }
}
