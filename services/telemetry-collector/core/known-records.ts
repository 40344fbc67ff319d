import { RecordScanner } from './record-scan.ts';

/** A record that was decoded and may be known the next time, when only its number and its time differ. */
export interface Lesson {
  readonly body: Uint8Array;
  readonly hash: number;
  /** From and to of its three parts: before, between and behind its number and its time. */
  readonly parts: readonly number[];
}

export interface KnownLimits {
  readonly recordsMax: number;
  /** Bytes of all that is remembered. When one of the two is reached all is forgotten, and learned anew. */
  readonly bytesMax: number;
}

const defaultLimits: KnownLimits = { recordsMax: 50_000, bytesMax: 16 * 1_048_576 };

/** Bytes that the remembered records stand in at first; grows. */
const bytesAtFirst = 65_536;
const slotsAtFirst = 1_024;

/**
 * What records that were decoded before came to, found again by their bytes: producers say the same thing again and
 * again with another number and another time, and decoding costs ten times what comparing does. Two records are the
 * same only when every byte but those of number and time is; the hash merely says where to look.
 */
export class KnownRecords<T> {
  readonly scanner: RecordScanner;
  readonly #limits: KnownLimits;
  /** Open addressing: the place of an entry and 1, or 0. */
  #slots = new Int32Array(slotsAtFirst);
  #bytes = new Uint8Array(bytesAtFirst);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;
  readonly #meanings: T[] = [];
  readonly #hashes: number[] = [];
  /** Of each entry: where its bytes begin, and the lengths of its three parts. */
  readonly #places: number[] = [];
  /** From and to of the three parts that are being looked for. */
  readonly #parts = new Int32Array(6);

  /** @param valueKey name of the member that holds a record's number */
  constructor(valueKey: string, messageRecordsMax: number, limits = defaultLimits) {
    this.scanner = new RecordScanner(valueKey, messageRecordsMax, (view, index) =>
      this.#entryAt(view, index),
    );
    this.#limits = limits;
  }

  get size(): number {
    return this.#meanings.length;
  }

  /**
   * What the scanner's record at `index` means.
   * @param view of the body that was scanned
   * @returns undefined where it is not known, or where it must be decoded in any case
   */
  find(view: DataView, index: number): T | undefined {
    const { scanner } = this;
    const guessed = scanner.entries[index] ?? -1;
    if (guessed >= 0) return this.#meanings[guessed];
    const entry = this.#entryAt(view, index);
    if (entry < 0) return undefined;
    scanner.expect(index);
    return this.#meanings[entry];
  }

  /** What must be remembered of the record at `index` to learn it once it is decoded; undefined where it cannot be. */
  lesson(body: Uint8Array, index: number): Lesson | undefined {
    const { scanner } = this;
    if (Number.isNaN(scanner.times[index]) || Number.isNaN(scanner.values[index])) return undefined;
    const { starts, ends, gapStarts, gapEnds, hashes } = scanner;
    const parts = [
      starts[index],
      gapStarts[index * 2],
      gapEnds[index * 2],
      gapStarts[index * 2 + 1],
      gapEnds[index * 2 + 1],
      ends[index],
    ].map((one) => one ?? 0);
    return { body, hash: hashes[index] ?? 0, parts };
  }

  learn({ body, hash, parts }: Lesson, meaning: T): void {
    this.#parts.set(parts);
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    if (this.#entryOf(view, hash) >= 0) return;
    const [start0 = 0, end0 = 0, start1 = 0, end1 = 0, start2 = 0, end2 = 0] = parts;
    const total = end0 - start0 + (end1 - start1) + (end2 - start2);
    if (this.size >= this.#limits.recordsMax || this.#used + total > this.#limits.bytesMax) this.forget();
    this.#makeRoom(total);
    this.#places.push(this.#used, end0 - start0, end1 - start1, end2 - start2);
    for (let part = 0; part < 6; part += 2) {
      const piece = body.subarray(parts[part], parts[part + 1]);
      this.#bytes.set(piece, this.#used);
      this.#used += piece.length;
    }
    this.#meanings.push(meaning);
    this.#hashes.push(hash);
    this.#insert(this.#meanings.length - 1);
  }

  /** Everything: what records mean has changed. */
  forget(): void {
    this.#slots = new Int32Array(slotsAtFirst);
    this.#used = 0;
    this.#meanings.length = 0;
    this.#hashes.length = 0;
    this.#places.length = 0;
  }

  /** Of the scanner's record; -1 where there is none. */
  #entryAt(view: DataView, index: number): number {
    const { scanner } = this;
    const time = scanner.times[index] ?? Number.NaN;
    const value = scanner.values[index] ?? Number.NaN;
    if (time !== time || value !== value) return -1;
    const parts = this.#parts;
    parts[0] = scanner.starts[index] ?? 0;
    parts[1] = scanner.gapStarts[index * 2] ?? 0;
    parts[2] = scanner.gapEnds[index * 2] ?? 0;
    parts[3] = scanner.gapStarts[index * 2 + 1] ?? 0;
    parts[4] = scanner.gapEnds[index * 2 + 1] ?? 0;
    parts[5] = scanner.ends[index] ?? 0;
    return this.#entryOf(view, scanner.hashes[index] ?? 0);
  }

  #entryOf(view: DataView, hash: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] ?? 0) - 1;
      if (entry < 0 || (this.#hashes[entry] === hash && this.#isSame(view, entry))) return entry;
    }
  }

  #isSame(view: DataView, entry: number): boolean {
    let at = this.#places[entry * 4] ?? 0;
    for (let part = 0; part < 3; part += 1) {
      const from = this.#parts[part * 2] ?? 0;
      const length = (this.#parts[part * 2 + 1] ?? 0) - from;
      if (length !== this.#places[entry * 4 + 1 + part]) return false;
      if (!isSameBytes(view, from, this.#view, at, length)) return false;
      at += length;
    }
    return true;
  }

  #makeRoom(bytes: number): void {
    if (this.#used + bytes > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#used + bytes));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    if ((this.size + 1) * 2 > this.#slots.length) {
      this.#slots = new Int32Array(this.#slots.length * 2);
      for (let entry = 0; entry < this.size; entry += 1) this.#insert(entry);
    }
  }

  #insert(entry: number): void {
    const mask = this.#slots.length - 1;
    let slot = (this.#hashes[entry] ?? 0) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = entry + 1;
  }
}

function isSameBytes(
  one: DataView,
  oneAt: number,
  other: DataView,
  otherAt: number,
  length: number,
): boolean {
  let done = 0;
  // Two words at once, in the order of bytes that the machine has.
  for (; done + 8 <= length; done += 8) {
    const differing =
      (one.getInt32(oneAt + done, true) ^ other.getInt32(otherAt + done, true)) |
      (one.getInt32(oneAt + done + 4, true) ^ other.getInt32(otherAt + done + 4, true));
    if (differing !== 0) return false;
  }
  for (; done < length; done += 1)
    if (one.getUint8(oneAt + done) !== other.getUint8(otherAt + done)) return false;
  return true;
}
