import { expect, vi } from 'vitest';
import { readSlots } from '#shared/protocol/slot-text.ts';
import type { RunningCache } from './running-cache.ts';

/** The map of the nodes as a client gets it, and by slot the name of the node that answers for it. */
export async function mapOf(cache: RunningCache) {
  const map = (await cache.send('trivet.cache.map', '')).body as {
    serial: number;
    nodes: { id: string; name: string }[];
    owners: string;
    moving: number;
  };
  const owners = readSlots(
    map.owners,
    map.nodes.map((node) => node.name),
  );
  return { ...map, ownerNames: owners ?? [] };
}

/** The map, once `names` are in it and everything has arrived. */
export async function settledMapOf(cache: RunningCache, names: readonly string[]) {
  // Hooks wait for it, too, where there is no expect.poll.
  await vi.waitFor(
    async () => {
      const { nodes, moving } = await mapOf(cache);
      expect([moving, ...nodes.map((node) => node.name).sort()]).toEqual([0, ...[...names].sort()]);
    },
    { timeout: 20_000 },
  );
  return mapOf(cache);
}
