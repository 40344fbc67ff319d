import { addExtension, pack, unpack } from 'msgpackr';
import { packedFault } from './msgpack-spans.ts';

/*
 * Maps, sets and integers beyond 64 bits in MessagePack, as extension types of our own: 16 is a map (its body a list of
 * key, value, key, value …), 17 a set (a list), 18 an integer (its decimal digits, 4,096 at most). They are written only
 * where a value goes through `richValue`; they are read everywhere.
 */

const mapType = 0x10;
const setType = 0x11;
const integerType = 0x12;

/** Reading digits takes time that grows with their square: a megabyte of them would hold a process up for seconds. */
const integerDigits = /^-?[0-9]{1,4096}$/;

class PackedMap {
  readonly flat: readonly unknown[];
  constructor(map: ReadonlyMap<unknown, unknown>) {
    this.flat = [...map].flatMap(([key, value]) => [richValue(key), richValue(value)]);
  }
}

class PackedSet {
  readonly items: readonly unknown[];
  constructor(set: ReadonlySet<unknown>) {
    this.items = [...set].map(richValue);
  }
}

class PackedInteger {
  readonly digits: string;
  constructor(value: bigint) {
    this.digits = value.toString();
  }
}

addExtension({
  Class: PackedMap,
  type: mapType,
  pack: ({ flat }: PackedMap) => pack(flat),
  unpack: (body: Uint8Array) => {
    const flat = listIn(body);
    return new Map(Array.from({ length: flat.length / 2 }, (_, n) => [flat[2 * n], flat[2 * n + 1]]));
  },
});
addExtension({
  Class: PackedSet,
  type: setType,
  pack: ({ items }: PackedSet) => pack(items),
  unpack: (body: Uint8Array) => new Set(listIn(body)),
});
addExtension({
  Class: PackedInteger,
  type: integerType,
  pack: ({ digits }: PackedInteger) => Buffer.from(digits),
  unpack: (body: Uint8Array) => {
    const digits = Buffer.from(body).toString('latin1');
    if (!integerDigits.test(digits)) throw new Error('the extension does not hold an integer');
    return BigInt(digits);
  },
});

function listIn(body: Uint8Array): readonly unknown[] {
  const fault = packedFault(body);
  if (fault !== undefined) throw new Error(fault);
  const list: unknown = unpack(body);
  if (!Array.isArray(list)) throw new Error('the extension does not hold a list');
  return list;
}

/** Why a value cannot be written. */
export class NotCarried extends Error {}

/**
 * The value with its maps, sets and largest integers in the forms above; the same value where it has none of them.
 * Meant for what is then encoded as MessagePack. O(size); throws as the encoder does on a cycle, and `NotCarried` for
 * arrays of numbers of other than one byte: the encoder would write their numbers as bytes, and what lay in memory behind.
 */
export function richValue(value: unknown): unknown {
  if (typeof value === 'bigint') return BigInt.asIntN(64, value) === value ? value : new PackedInteger(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Map) return new PackedMap(value);
  if (value instanceof Set) return new PackedSet(value);
  if (Array.isArray(value)) return richList(value);
  if (ArrayBuffer.isView(value) && !(value instanceof Uint8Array)) throw notCarried(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? richObject(value) : value;
}

const notCarried = (view: ArrayBufferView): NotCarried =>
  new NotCarried(
    `it holds a ${view.constructor.name}: give a list of its numbers, or its bytes as a Uint8Array`,
  );

function richList(list: readonly unknown[]): readonly unknown[] {
  const rich = list.map(richValue);
  return rich.some((item, index) => item !== list[index]) ? rich : list;
}

function richObject(object: object): object {
  const members = Object.entries(object);
  const rich = members.map(([name, member]) => [name, richValue(member)] as const);
  return rich.some(([, member], index) => member !== members[index]?.[1]) ? Object.fromEntries(rich) : object;
}
