import type { Item } from './core/item.ts';
import { newItem } from './core/new-item.ts';
import { isSameBackoff } from './core/retry-policy.ts';
import { RowReader, RowWriter } from './row-bytes.ts';
import { readBackoff, readList, writeBackoff } from './row-parts.ts';

// Many items that have just been enqueued, in one row. What they have in common (queue, retries) is written once, as a
// kind; a table of offsets leads to each of them without reading the others.

const rowVersion = 1;

/** Orders of one block: those of block n are from n × this on. */
export const blockOrders = 128;

/** version, where the kinds stand, offsets */
const offsetsAt = 5;
const bodyAt = offsetsAt + blockOrders * 2;

/** Offsets have sixteen bits. */
const bodyBytesMax = 65_535 - bodyAt;

const body = new RowWriter();
const kindsWriter = new RowWriter();

export const blockOf = (order: number): number => Math.floor(order / blockOrders);

const placeOf = (order: number): number => order % blockOrders;

/** True for an item that is as it was enqueued, with nothing special about it: it may stand in a block. */
export function isFresh(item: Item): boolean {
  const { state, attempt, token, attempts, transitions, enqueuedAt, readyAt, inline } = item;
  if (state !== 'pending' || attempt !== 0 || token !== 0 || inline === undefined) return false;
  if (attempts.length > 0 || transitions.length !== 1 || readyAt !== enqueuedAt) return false;
  const [begun] = transitions;
  if (begun?.at !== enqueuedAt || begun.from !== null || begun.to !== state || begun.why !== 'enqueued')
    return false;
  return isPlain(item);
}

/** It has nothing that a block has no place for. Spelt out: a list of names takes as long as all the rest of a row. */
function isPlain(item: Item): boolean {
  return (
    item.group === undefined &&
    item.key === undefined &&
    item.timeoutMs === undefined &&
    item.expiresAt === undefined &&
    item.runAt === undefined &&
    item.startedAt === undefined &&
    item.finishedAt === undefined &&
    item.lease === undefined &&
    item.settled === undefined &&
    item.progress === undefined &&
    item.result === undefined &&
    item.contentType === undefined &&
    item.headers === undefined &&
    item.fields === undefined &&
    item.parent === undefined &&
    item.family === undefined &&
    item.logged === undefined
  );
}

/** What the items of a block have in common, each as one of its kinds. */
type Kind = Pick<Item, 'queue' | 'attemptsMax' | 'backoff' | 'payloadIsJson'>;

/**
 * The row of a block. Items that find no room in it are left out.
 * @param items fresh ones, of this block, in the order of their orders
 * @returns the row and how many of the items stand in it, from the first on
 */
export function encodeBlock(items: readonly Item[]): { readonly bytes: Buffer; readonly count: number } {
  body.begin();
  const kinds: Kind[] = [];
  const from = items[0]?.enqueuedAt ?? 0;
  const offsets = new Uint16Array(blockOrders);
  let count = 0;
  for (const item of items) {
    const { inline = noBytes } = item;
    if (body.length + inline.length + itemBytesMax > bodyBytesMax) break;
    offsets[placeOf(item.order)] = bodyAt + body.length;
    body.uint(kindOf(kinds, item));
    body.uint(item.band);
    body.distance(item.readyOrder, item.order);
    body.distance(item.enqueuedAt, from);
    body.bytes(inline);
    count += 1;
  }
  const common = encodeKinds(kinds, from);
  const bytes = Buffer.allocUnsafe(bodyAt + body.length + common.length);
  writeHead(bytes, bodyAt + body.length, offsets);
  body.copyTo(bytes, bodyAt);
  bytes.set(common, bodyAt + body.length);
  return { bytes, count };
}

/** More than an item takes besides its payload. */
const itemBytesMax = 40;

const noBytes = Buffer.alloc(0);

function kindOf(kinds: Kind[], item: Item): number {
  // From the newest on: items of one kind mostly follow each other.
  for (let index = kinds.length - 1; index >= 0; index -= 1) {
    const kind = kinds[index] as Kind;
    if (
      kind.queue === item.queue &&
      kind.attemptsMax === item.attemptsMax &&
      isSameBackoff(kind.backoff, item.backoff) &&
      kind.payloadIsJson === item.payloadIsJson
    )
      return index;
  }
  return kinds.push(item) - 1;
}

function encodeKinds(kinds: readonly Kind[], from: number): Buffer {
  kindsWriter.begin();
  kindsWriter.uint(from);
  kindsWriter.uint(kinds.length);
  for (const { queue, attemptsMax, backoff, payloadIsJson } of kinds) {
    kindsWriter.text(queue);
    kindsWriter.uint(attemptsMax);
    writeBackoff(kindsWriter, backoff);
    kindsWriter.uint(payloadIsJson ? 1 : 0);
  }
  return kindsWriter.end();
}

function writeHead(bytes: Buffer, kindsAt: number, offsets: Uint16Array): void {
  bytes[0] = rowVersion;
  bytes.writeUInt32LE(kindsAt, 1);
  for (let place = 0; place < blockOrders; place += 1)
    bytes.writeUInt16LE(offsets[place] ?? 0, offsetsAt + place * 2);
}

/** A block's row as it is read. */
export class Block {
  readonly #number: number;
  readonly #bytes: Buffer;
  readonly #kindsAt: number;
  readonly #from: number;
  readonly #kinds: readonly Kind[];

  /** Throws on a row that this broker cannot read. @param bytes are kept */
  constructor(number: number, bytes: Buffer) {
    if (bytes[0] !== rowVersion)
      throw new Error(`a block of items has version ${bytes[0]}, this broker reads ${rowVersion}`);
    this.#number = number;
    this.#bytes = bytes;
    this.#kindsAt = bytes.readUInt32LE(1);
    const row = new RowReader(bytes.subarray(this.#kindsAt));
    this.#from = row.uint();
    this.#kinds = readList(row, () => ({
      queue: row.text(),
      attemptsMax: row.uint(),
      backoff: readBackoff(row),
      payloadIsJson: row.uint() === 1,
    }));
  }

  /** The item of an order that stands in the block. Throws when it does not. */
  item(order: number): Item {
    const row = new RowReader(this.#bytes, this.#offsetOf(placeOf(order)));
    const kind = this.#kinds[row.uint()];
    if (kind === undefined) throw new Error(`item ${order} has a kind that its block does not know`);
    const band = row.uint();
    const readyOrder = row.distance(order);
    const at = row.distance(this.#from);
    const fact = { kind: 'enqueued' as const, order, band, payload: row.bytes(), ...kind };
    return newItem(fact, { at, readyOrder, state: 'pending', fields: undefined });
  }

  /** Those of its items that are still there, by `order`. */
  *items(left: Left): Iterable<Item> {
    for (const place of left.places()) yield this.item(this.#number * blockOrders + place);
  }

  /** The row with these items alone: nothing of the others is left in it. */
  only(left: Left): Buffer {
    const offsets = new Uint16Array(blockOrders);
    const parts: Buffer[] = [];
    let at = bodyAt;
    for (const place of left.places()) {
      const part = this.#bytes.subarray(this.#offsetOf(place), this.#endOf(place));
      offsets[place] = at;
      at += part.length;
      parts.push(part);
    }
    const head = Buffer.alloc(bodyAt);
    writeHead(head, at, offsets);
    return Buffer.concat([head, ...parts, this.#bytes.subarray(this.#kindsAt)]);
  }

  #offsetOf(place: number): number {
    const offset = this.#bytes.readUInt16LE(offsetsAt + place * 2);
    if (offset === 0) throw new Error(`block ${this.#number} has nothing in place ${place}`);
    return offset;
  }

  #endOf(place: number): number {
    for (let next = place + 1; next < blockOrders; next += 1) {
      const offset = this.#bytes.readUInt16LE(offsetsAt + next * 2);
      if (offset > 0) return offset;
    }
    return this.#kindsAt;
  }
}

const bitsBytes = blockOrders / 8;
const bitsPerSlab = 512;
let slab = Buffer.alloc(0);

/**
 * Sixteen bytes that are kept for as long as their block. Memory of its own for each of them costs ten times as much, and
 * a part of Node's pool would keep all that it was handed out beside, which are payloads: a backlog of a million items
 * once held all of theirs.
 */
function newBits(): Buffer {
  if (slab.length === 0) slab = Buffer.allocUnsafeSlow(bitsBytes * bitsPerSlab);
  const bits = slab.subarray(0, bitsBytes);
  slab = slab.subarray(bitsBytes);
  return bits;
}

/** Which items of a block are still in it: the others have rows of their own by now, or are gone. */
export class Left {
  /** A bit for each place, as it is stored. */
  readonly bits: Buffer;

  private constructor(bits: Buffer) {
    this.bits = bits;
  }

  static of(items: readonly Item[]): Left {
    const bits = newBits().fill(0);
    for (const { order } of items) {
      const place = placeOf(order);
      bits[place >> 3] = (bits[place >> 3] ?? 0) | (1 << (place & 7));
    }
    return new Left(bits);
  }

  /** As it was stored. @param bits are copied */
  static read(stored: Uint8Array): Left {
    const bits = newBits();
    bits.set(stored);
    return new Left(bits);
  }

  has(order: number): boolean {
    const place = placeOf(order);
    return ((this.bits[place >> 3] ?? 0) & (1 << (place & 7))) !== 0;
  }

  remove(order: number): void {
    const place = placeOf(order);
    this.bits[place >> 3] = (this.bits[place >> 3] ?? 0) & ~(1 << (place & 7));
  }

  get isEmpty(): boolean {
    return this.bits.every((byte) => byte === 0);
  }

  *places(): Iterable<number> {
    for (let place = 0; place < blockOrders; place += 1) if (this.has(place)) yield place;
  }
}
