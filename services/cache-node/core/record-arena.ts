/** Records begin at multiples of this many bytes, so that an address fits 32 bits and numbers are read aligned. */
const unit = 8;
const segmentBytesMax = 262_144;
const segmentBytesMin = 4_096;
const segmentUnits = segmentBytesMax / unit;
/** Addresses have 32 bits: so many segments, 32 GiB when they are full ones. */
const segmentsMax = 2 ** 32 / segmentUnits;
/** A record of more bytes has a segment of its own. */
const sharedBytesMax = segmentBytesMax / 4;
/** Part of the memory that may lie dead before segments are cleaned: at three quarters full a clean copies three bytes for each one it frees. */
const deadPartMax = 0.25;
/** Segments that one choice of the fullest of dead bytes looks at. */
const choicesMax = 256;

/**
 * What is cleaned at once: when many records have just gone, the rest is cleaned step by step, so that no set waits for
 * all of it. At a quarter dead so many segments give back four for the one that is then filled; where records are
 * large, and few are to be moved, it may be more.
 */
const cleanedMax = 16;
/** Records that are moved beyond those, or as many times four kibibytes. */
const movesMax = 8_192;

/** The head of a record: its owner and its size, in the first two words. */
const deadOwner = 0xffff_ffff;

export interface Segment {
  readonly bytes: Buffer;
  /** The same memory: what is cut from a plain array costs half of what is cut from a Buffer. */
  readonly memory: Uint8Array;
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
  used: number;
  live: number;
}

/**
 * Memory for records, outside the JavaScript heap: they are appended to segments; a segment of which all is dead is
 * given back at once, and one with much dead is cleaned by moving the rest to the end. So memory follows what lives,
 * whatever the sizes were before.
 * Source: Rosenblum, Ousterhout, "The Design and Implementation of a Log-Structured File System", 1992; for memory:
 * Rumble, Kejriwal, Ousterhout, "Log-structured Memory for DRAM-based Storage", FAST 2014.
 *
 * A record begins with two words that are the arena's: the owner and the size.
 */
export class RecordArena {
  readonly #moved: (owner: number, address: number) => void;
  readonly #segments: (Segment | undefined)[] = [];
  readonly #free: number[] = [];
  #head = -1;
  #bytes = 0;
  #live = 0;
  /** Where the next choice of a segment to clean begins. */
  #turn = 0;

  /** @param moved hears of the new address of an owner's record while a segment is cleaned */
  constructor(moved: (owner: number, address: number) => void) {
    this.#moved = moved;
  }

  /** Bytes of memory held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True when addresses are about to run out: something has to go first. */
  get isFull(): boolean {
    return this.#free.length === 0 && this.#segments.length >= segmentsMax - choicesMax;
  }

  /**
   * Room for a record, with its head written. May move other records.
   * @param owner an integer in [0, 2^32 − 1)
   * @param size  bytes, the two words of the head included
   */
  allocate(owner: number, size: number): number {
    const whole = roundUp(size);
    if (whole > sharedBytesMax) return this.#append(this.#addSegment(whole), owner, whole);
    if (!this.#fits(whole)) {
      this.#clean();
      if (!this.#fits(whole)) this.#head = this.#addSegment(Math.max(this.#nextSegmentBytes(), whole));
    }
    return this.#append(this.#head, owner, whole);
  }

  /** Gives the record's room back. */
  free(address: number): void {
    const index = indexOf(address);
    const segment = this.#at(index);
    const word = wordOf(address);
    const size = segment.words[word + 1] ?? 0;
    segment.words[word] = deadOwner;
    segment.live -= size;
    this.#live -= size;
    if (segment.live === 0) this.#drop(index);
  }

  /** Bytes that the record at `address` may take without moving. */
  capacity(address: number): number {
    return this.segmentOf(address).words[wordOf(address) + 1] ?? 0;
  }

  segmentOf(address: number): Segment {
    return this.#at(indexOf(address));
  }

  /** Cleans some segments where more than the allowed part of memory is dead: for when nothing is being added. */
  tidy(): void {
    this.#clean();
  }

  #append(index: number, owner: number, size: number): number {
    const segment = this.#at(index);
    const at = segment.used;
    segment.words[at >>> 2] = owner;
    segment.words[(at >>> 2) + 1] = size;
    segment.used += size;
    segment.live += size;
    this.#live += size;
    return index * segmentUnits + at / unit;
  }

  #fits(size: number): boolean {
    const head = this.#segments[this.#head];
    return head !== undefined && head.used + size <= head.bytes.length;
  }

  /** Small for a small arena, so that a thousand namespaces of one entry each take no more than they must. */
  #nextSegmentBytes(): number {
    let bytes = segmentBytesMin;
    while (bytes < segmentBytesMax && bytes < this.#bytes / 2) bytes *= 2;
    return bytes;
  }

  #addSegment(size: number): number {
    const memory = new ArrayBuffer(size);
    const index = this.#free.pop() ?? this.#segments.length;
    this.#segments[index] = {
      bytes: Buffer.from(memory),
      memory: new Uint8Array(memory),
      words: new Uint32Array(memory),
      doubles: new Float64Array(memory),
      used: 0,
      live: 0,
    };
    this.#bytes += size;
    return index;
  }

  #drop(index: number): void {
    this.#bytes -= this.#at(index).bytes.length;
    this.#segments[index] = undefined;
    this.#free.push(index);
    if (this.#head === index) this.#head = -1;
  }

  #clean(): void {
    let moves = 0;
    for (let cleaned = 0; this.#isMuchDead() && (cleaned < cleanedMax || moves < movesMax); cleaned += 1) {
      const index = this.#deadest();
      if (index === undefined) return;
      moves += this.#at(index).live / 4_096;
      moves += this.#moveRecords(index);
    }
  }

  #isMuchDead(): boolean {
    return this.#bytes > segmentBytesMin && this.#deadBytes() > this.#bytes * deadPartMax;
  }

  /** What the head has not used yet is neither live nor dead. */
  #deadBytes(): number {
    const head = this.#segments[this.#head];
    return this.#bytes - this.#live - (head === undefined ? 0 : head.bytes.length - head.used);
  }

  #deadest(): number | undefined {
    let chosen: number | undefined;
    let mostDead = 0;
    const looked = Math.min(choicesMax, this.#segments.length);
    for (let step = 0; step < looked; step += 1) {
      const index = (this.#turn + step) % this.#segments.length;
      const segment = this.#segments[index];
      if (segment === undefined || index === this.#head) continue;
      const dead = (segment.bytes.length - segment.live) / segment.bytes.length;
      if (dead <= mostDead) continue;
      mostDead = dead;
      chosen = index;
    }
    this.#turn = (this.#turn + looked) % Math.max(1, this.#segments.length);
    return chosen;
  }

  /** @returns how many there were */
  #moveRecords(index: number): number {
    let moved = 0;
    const segment = this.#at(index);
    for (let at = 0; at < segment.used && segment.live > 0;) {
      const owner = segment.words[at >>> 2] ?? 0;
      const size = segment.words[(at >>> 2) + 1] ?? 0;
      if (owner !== deadOwner) {
        this.#move(segment, at, { owner, size });
        moved += 1;
      }
      at += size;
    }
    this.#drop(index);
    return moved;
  }

  #move(from: Segment, at: number, { owner, size }: { readonly owner: number; readonly size: number }): void {
    if (!this.#fits(size)) this.#head = this.#addSegment(Math.max(this.#nextSegmentBytes(), size));
    const address = this.#append(this.#head, owner, size);
    this.#at(this.#head).bytes.set(from.bytes.subarray(at, at + size), (address % segmentUnits) * unit);
    from.live -= size;
    this.#live -= size;
    this.#moved(owner, address);
  }

  #at(index: number): Segment {
    return this.#segments[index] as Segment;
  }
}

/** Where the record at `address` begins in its segment, in bytes. */
export const byteOf = (address: number): number => (address % segmentUnits) * unit;

const wordOf = (address: number): number => (address % segmentUnits) * (unit / 4);
const indexOf = (address: number): number => Math.floor(address / segmentUnits);
const roundUp = (size: number): number => Math.ceil(size / unit) * unit;
