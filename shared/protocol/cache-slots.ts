/** Slots of the cache: the unit in which keys move between nodes. A thousandth of the keys is moved in milliseconds. */
export const cacheSlots = 1_024;

const offsetBasis = 0x811c9dc5;
const prime = 0x01000193;

/**
 * The slot of a key: FNV-1a, 32 bits, over the UTF-8 of `<namespace>.<key>`, xor-folded to 10 bits
 * (`(hash ^ (hash >> 10)) & 1023`). The namespace is part of it, so that keys which many namespaces have ("total",
 * "config") do not all weigh on one node; a dot is in no namespace's name, so no two pairs read the same.
 * Source: Fowler, Noll, Vo; draft-eastlake-fnv, with its folding for fewer than 16 bits.
 * @returns an integer in [0, `cacheSlots`); O(length), without allocation
 */
export const slotOf = (namespace: string, key: string): number => slotsOf(namespace)(key);

/** `slotOf` for many keys of one namespace, whose name is then hashed once. */
export function slotsOf(namespace: string): (key: string) => number {
  const begun = hashed(hashed(offsetBasis, namespace), '.');
  return (key) => {
    const hash = hashed(begun, key);
    return (hash ^ (hash >>> 10)) & (cacheSlots - 1);
  };
}

/** FNV-1a, 32 bits, of a text: tells a text that was changed from one that was not, against mistakes and not against malice. */
export const textHash = (text: string): number => hashed(offsetBasis, text);

/** FNV-1a goes on over the UTF-8 bytes of `text`, read off its UTF-16 without making them. */
function hashed(begun: number, text: string): number {
  let hash = begun;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) {
      hash = Math.imul(hash ^ unit, prime);
      continue;
    }
    const point = text.codePointAt(at) ?? unit;
    if (point > 0xffff) at += 1;
    hash = beyondAscii(hash, point);
  }
  return hash >>> 0;
}

function beyondAscii(begun: number, point: number): number {
  const last = 0x80 | (point & 0x3f);
  if (point < 0x800) return Math.imul(Math.imul(begun ^ (0xc0 | (point >> 6)), prime) ^ last, prime);
  const third = 0x80 | ((point >> 6) & 0x3f);
  if (point < 0x10000) {
    const hash = Math.imul(begun ^ (0xe0 | (point >> 12)), prime);
    return Math.imul(Math.imul(hash ^ third, prime) ^ last, prime);
  }
  const hash = Math.imul(begun ^ (0xf0 | (point >> 18)), prime);
  const second = Math.imul(hash ^ (0x80 | ((point >> 12) & 0x3f)), prime);
  return Math.imul(Math.imul(second ^ third, prime) ^ last, prime);
}
