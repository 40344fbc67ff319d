import { type Static, Type } from 'typebox';

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
