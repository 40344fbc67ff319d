import type { CacheMap } from '#shared/protocol/cache-map.ts';
import { readSlots, writeSlots } from '#shared/protocol/slot-text.ts';
import type { MapNode, NodeMap } from './node-map.ts';

/** The map as it is kept in the record. */
export function writeMap({ bornMs, serial, nodes, owners, from, last, countBelow }: NodeMap): string {
  const ids = nodes.map((node) => node.id);
  const names = [...new Set(last.values())];
  return JSON.stringify({
    bornMs,
    serial,
    countBelow,
    last: { names, slots: writeSlots(names, (slot) => last.get(slot)) },
    nodes,
    owners: writeSlots(ids, (slot) => owners[slot]),
    from: writeSlots(ids, (slot) => from.get(slot)),
  });
}

/** The map that `writeMap` wrote; undefined for anything else, which nobody can go by. */
export function readMap(text: string): NodeMap | undefined {
  const written = parsed(text);
  // Maps of before it was written have none.
  const { bornMs = 0, serial, countBelow, last, nodes, owners, from } = written ?? {};
  if (!isCount(bornMs) || !isCount(serial) || !isCount(countBelow)) return undefined;
  if (!Array.isArray(nodes) || !nodes.every(isNode)) return undefined;
  const ids = nodes.map((node) => node.id);
  const [read, readFrom] = [owners, from].map((slots) =>
    typeof slots === 'string' ? readSlots(slots, ids) : undefined,
  );
  if (read === undefined || readFrom === undefined) return undefined;
  const all = nodes.map((node) => ({ ...node, filesSince: node.filesSince ?? 0 }));
  return {
    bornMs,
    serial,
    countBelow,
    last: readLast(last),
    nodes: all,
    owners: read,
    from: bySlot(readFrom),
  };
}

/** Maps of before slots waited have names alone: then none waits. */
function readLast(last: unknown): ReadonlyMap<number, string> {
  const { names, slots } = (last ?? {}) as { names?: unknown; slots?: unknown };
  if (!Array.isArray(names) || typeof slots !== 'string') return new Map();
  return bySlot(readSlots(slots, names.map(String)) ?? []);
}

function bySlot(nodes: readonly (string | undefined)[]): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const [slot, node] of nodes.entries()) if (node !== undefined) found.set(slot, node);
  return found;
}

/** What of the map is everybody's business. A slot in motion is its owner's, who sends on what has not come yet. */
export const publicMap = ({ serial, nodes, owners, from }: NodeMap): CacheMap => ({
  serial,
  nodes: nodes.map(({ id, name }) => ({ id, name })),
  owners: writeSlots(
    nodes.map((node) => node.id),
    (slot) => owners[slot],
  ),
  moving: from.size,
});

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const read: unknown = JSON.parse(text);
    return typeof read === 'object' && read !== null ? (read as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function isNode(value: unknown): value is MapNode {
  const { id, name, leaving, index, countFrom, filesSince } = (value ?? {}) as Partial<MapNode>;
  return (
    typeof id === 'string' &&
    typeof name === 'string' &&
    typeof leaving === 'boolean' &&
    isCount(index) &&
    isCount(countFrom) &&
    // Maps of before it was written have none.
    isCount(filesSince ?? 0)
  );
}
