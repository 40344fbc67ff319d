import { msgpack, decode, encode } from '#shared/protocol/encoding.ts';
import type { FillRecord } from './core/fills.ts';
import type { EntryRecord, KeptBytes } from './core/residence.ts';

/** What one namespace has in one slot, or a part of it, on its way to another node. */
export interface SlotPiece {
  readonly namespace: string;
  readonly entries: readonly EntryRecord[];
  readonly fills: readonly FillRecord[];
}

/** Times go as what is left of them, since no two nodes have the same clock; null: without end. */
interface SentEntry extends Omit<EntryRecord, 'createdAtMs' | 'expiresAtMs' | 'value' | 'tags'> {
  readonly value: KeptBytes;
  readonly tags: readonly string[];
  readonly ageMs: number;
  readonly restMs: number | null;
}

export function writePiece({ namespace, entries, fills }: SlotPiece, nowMs: number): Uint8Array {
  const sent = entries.map(({ createdAtMs, expiresAtMs, value, ...rest }): SentEntry => ({
    ...rest,
    value: { ...value, bytes: Buffer.from(value.bytes) },
    ageMs: nowMs - createdAtMs,
    restMs: expiresAtMs === Infinity ? null : expiresAtMs - nowMs,
  }));
  return encode({ namespace, entries: sent, fills }, msgpack);
}

/**
 * @param takenMs a moment before the other node wrote the piece, on this node's clock: what is left of a ttl counts
 *   from there, so that nothing is served late
 */
export function readPiece(bytes: Uint8Array, takenMs: number): SlotPiece {
  const decoded = decode(bytes, msgpack);
  // Nodes of one version speak to each other, over subjects that nobody else may use.
  if (!decoded.ok) throw new Error(`what another node gave cannot be read: ${decoded.error.message}`);
  const { namespace, entries, fills } = decoded.value as {
    namespace: string;
    entries: readonly SentEntry[];
    fills: readonly FillRecord[];
  };
  return {
    namespace,
    fills,
    entries: entries.map(({ ageMs, restMs, ...rest }) => ({
      ...rest,
      createdAtMs: takenMs - ageMs,
      expiresAtMs: restMs === null ? Infinity : takenMs + restMs,
    })),
  };
}
