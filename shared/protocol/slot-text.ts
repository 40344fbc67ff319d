import { cacheSlots } from './cache-slots.ts';

/** No node: as an index in the text of a map's owners. */
const none = 255;

/** The text of a cache map's `owners`, or of anything else that has a node for some of the slots. */
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
