import { type Static, Type } from 'typebox';
import { cacheSlots } from './cache-slots.ts';

/** No node: as an index in the text of a map's owners. */
const none = 255;

/** Answer of `trivet.cache.map`, and what is told on the map's subject: which node answers for which slot. */
export const CacheMap = Type.Object({
  /** Grows with each map: of two the one with the higher serial is in force. */
  serial: Type.Integer(),
  /** `id` is the last token of the subjects at which the node is asked directly. */
  nodes: Type.Array(Type.Object({ id: Type.String(), name: Type.String() })),
  /** Base64 of a byte for each slot: the index of its node in `nodes`, 255 for none. */
  owners: Type.String(),
  /** Slots that their owner has not fetched yet; it sends on what is asked for them. */
  moving: Type.Integer(),
});
export type CacheMap = Static<typeof CacheMap>;

/** The text of `owners`, or of anything else that has a node for some of the slots. */
export function writeSlots(ids: readonly string[], nodeOf: (slot: number) => string | undefined): string {
  const indexes = new Map(ids.map((id, index) => [id, index]));
  const bytes = Uint8Array.from({ length: cacheSlots }, (_, slot) => indexes.get(nodeOf(slot) ?? '') ?? none);
  return Buffer.from(bytes).toString('base64');
}

/** By slot the id of its node; undefined when the text is none that `writeSlots` makes. */
export function readSlots(text: string, ids: readonly string[]): readonly (string | undefined)[] | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== cacheSlots) return undefined;
  return Array.from(bytes, (index) => (index === none ? undefined : ids[index]));
}
