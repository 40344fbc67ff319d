/**
 * The partition of a queue: FNV-1a of the name's UTF-8 bytes, 32 bits, modulo the number of partitions.
 * It must equal nats-server's own `partition(n, token)` subject mapping, because the ingest stream's subject
 * transform sorts plain publishes with that function (nats-server, `server/subject_transform.go`).
 * @returns an integer in [0, partitions); O(length)
 */
export function partitionOf(queue: string, partitions: number): number {
  return fnv1a32(queue) % partitions;
}

/** FNV-1a, 32 bits, over UTF-8. Source: Fowler, Noll, Vo; draft-eastlake-fnv. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash ^= byte;
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}
