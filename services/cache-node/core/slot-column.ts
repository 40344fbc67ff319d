// Numbers over slots, outside the JavaScript heap. A column grows page by page, so that no growth copies more than
// one page, however many slots there are; only the first page begins small, since most namespaces are.

const pageBits = 14;
const pageSlots = 1 << pageBits;
const pageMask = pageSlots - 1;
const firstPageSlots = 32;

interface Numbers {
  readonly length: number;
  readonly BYTES_PER_ELEMENT: number;
  [index: number]: number;
  set(from: Numbers): void;
}

/** One number for each slot, 0 until it is set. Reads beyond what was ever set give 0. */
class SlotColumn<Page extends Numbers> {
  readonly #make: (slots: number) => Page;
  readonly #pages: Page[];

  constructor(make: (slots: number) => Page) {
    this.#make = make;
    this.#pages = [make(firstPageSlots)];
  }

  get(slot: number): number {
    return this.#pages[slot >>> pageBits]?.[slot & pageMask] ?? 0;
  }

  set(slot: number, value: number): void {
    const page = this.#pages[slot >>> pageBits];
    const place = slot & pageMask;
    if (page !== undefined && place < page.length) page[place] = value;
    else this.#grow(slot)[place] = value;
  }

  /** Bytes of memory that the pages take. */
  get bytes(): number {
    let bytes = 0;
    for (const page of this.#pages) bytes += page.length * page.BYTES_PER_ELEMENT;
    return bytes;
  }

  #grow(slot: number): Page {
    const [first] = this.#pages;
    if (first !== undefined && first.length < pageSlots) {
      let slots = first.length;
      while (slots < pageSlots && slots <= slot) slots *= 2;
      const larger = this.#make(slots);
      larger.set(first);
      this.#pages[0] = larger;
    }
    while (this.#pages.length <= slot >>> pageBits) this.#pages.push(this.#make(pageSlots));
    return this.#pages[slot >>> pageBits] as Page;
  }
}

export type IntColumn = SlotColumn<Int32Array>;
export type DoubleColumn = SlotColumn<Float64Array>;
export type ByteColumn = SlotColumn<Uint8Array>;

/** Integers of 32 bits, signed. */
export const intColumn = (): IntColumn => new SlotColumn((slots) => new Int32Array(slots));
export const doubleColumn = (): DoubleColumn => new SlotColumn((slots) => new Float64Array(slots));
export const byteColumn = (): ByteColumn => new SlotColumn((slots) => new Uint8Array(slots));
