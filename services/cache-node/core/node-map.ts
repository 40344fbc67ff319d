import { cacheSlots } from '#shared/protocol/cache-slots.ts';
import { rendezvous } from './rendezvous.ts';

/** One membership of a process: a process that was put out of the map and comes back is another node. */
export interface MapNode {
  /** Never used again; a token of its subjects. */
  readonly id: string;
  /** Of the process, stable over restarts: slots go by it, so that a restarted node gets its own back. */
  readonly name: string;
  /** Hands its slots over and takes none. */
  readonly leaving: boolean;
  /** Two nodes of a map have different ones: the low digits of the versions that they give. Below `mapNodesMax`. */
  readonly index: number;
  /** The node counts its versions from here at least: above all that were given in its slots by nodes that are gone. */
  readonly countFrom: number;
  /**
   * What the files of the process have under versions that were counted up to here is void: others answered for their
   * keys since. It stands here, since the process may die before it has emptied them, and go on when it comes back.
   */
  readonly filesSince: number;
}

/**
 * Who answers for which slot. A slot in motion has an owner, who is to answer for it, and one from whom it comes, who
 * answers until the owner has fetched what is in it. All changes are functions from map to map; they are written one
 * over the other, so the maps of a cluster are one line, and `serial` is the place in it.
 */
export interface NodeMap {
  /**
   * When the first map of this line was made, in epoch milliseconds: what is kept elsewhere under an older one was
   * written by a cluster whose bucket is lost. 0 in a line that is older than this field.
   */
  readonly bornMs: number;
  readonly serial: number;
  readonly nodes: readonly MapNode[];
  /** By slot: the id of its owner; undefined while there is no node. */
  readonly owners: readonly (string | undefined)[];
  /** By slot, for those in motion: the id of the node that holds it until it is fetched. */
  readonly from: ReadonlyMap<number, string>;
  /**
   * By slot, for those without an owner: the name of the node that answered for it last, and has its file still. It
   * waits for that one to come back, until the wait is given up.
   */
  readonly last: ReadonlyMap<number, string>;
  /** Nodes count their versions below this, and have it raised in good time. */
  readonly countBelow: number;
}

/** By how much the count of versions may grow until the map is written again: a minute of writes at full speed. */
export const countStep = 2 ** 24;

/** Nodes in one map. Also what a version has for them: it is `count * mapNodesMax + index`. */
export const mapNodesMax = 64;

/**
 * The map of a cluster of which nothing is known. It begins at the time, so that what clients and nodes remember of
 * an earlier one (a lost bucket) is older, and versions go on above those given before.
 * @param nowMs wall time, epoch milliseconds
 */
export const firstMap = (nowMs: number): NodeMap => ({
  bornMs: Math.floor(nowMs),
  serial: Math.floor(nowMs),
  nodes: [],
  owners: Array.from({ length: cacheSlots }, () => undefined),
  from: new Map(),
  last: new Map(),
  countBelow: Math.floor(nowMs),
});

/** The node of that id, if it is in the map. */
export const nodeOf = (map: NodeMap, id: string | undefined): MapNode | undefined =>
  id === undefined ? undefined : map.nodes.find((node) => node.id === id);

/**
 * A node joins: it becomes the owner of its slots, which it has yet to fetch, and of those that wait for it, which it
 * has. A node of the same name is the process before it and goes. Undefined when the map is full.
 */
export function joined(map: NodeMap, { id, name }: Pick<MapNode, 'id' | 'name'>): NodeMap | undefined {
  const draft = draftOf(map);
  for (const node of map.nodes) if (node.name === name) remove(draft, node.id);
  if (draft.nodes.length >= mapNodesMax) return undefined;
  const taken = new Set(draft.nodes.map((node) => node.index));
  const index = Array.from({ length: mapNodesMax }, (_, one) => one).find((one) => !taken.has(one)) ?? 0;
  const before = map.nodes.find((node) => node.name === name);
  const filesSince = continues(map, name) ? (before?.filesSince ?? 0) : map.countBelow;
  draft.nodes = [...draft.nodes, { id, name, leaving: false, index, countFrom: 0, filesSince }];
  draft.receivers.add(id);
  for (const [slot, waitedFor] of draft.last) {
    if (waitedFor !== name) continue;
    draft.owners[slot] = id;
    draft.last.delete(slot);
  }
  return changed(draft);
}

/**
 * Whether a process of that name that joins now goes on with what it had: nobody answered for it since. Not where it
 * was handing over, or fetching: what it had then is not known.
 */
function continues(map: NodeMap, name: string): boolean {
  const before = map.nodes.find((node) => node.name === name);
  if (before === undefined) return [...map.last.values()].includes(name);
  if (before.leaving) return false;
  for (const [slot, holder] of map.from)
    if (holder === before.id || map.owners[slot] === before.id) return false;
  return true;
}

/** A node gives up its slots in an orderly way. Undefined when it is not in the map, or is leaving already. */
export function leaving(map: NodeMap, id: string): NodeMap | undefined {
  const node = nodeOf(map, id);
  if (node === undefined || node.leaving) return undefined;
  const draft = draftOf(map);
  draft.nodes = map.nodes.map((one) => (one.id === id ? { ...one, leaving: true } : one));
  return changed(draft);
}

/**
 * A node is no more. Its slots go to the others, empty unless somebody holds them still. Undefined when it is not in
 * the map.
 * @param kept slots that it held to the end, and has in its files: they wait for it
 */
export function removed(map: NodeMap, id: string, kept: Iterable<number> = []): NodeMap | undefined {
  const node = nodeOf(map, id);
  if (node === undefined) return undefined;
  const draft = draftOf(map);
  for (const slot of kept) {
    if (map.owners[slot] !== id && map.from.get(slot) !== id) continue;
    draft.owners[slot] = undefined;
    draft.from.delete(slot);
    draft.last.set(slot, node.name);
  }
  remove(draft, id);
  return changed(draft);
}

/** Whether there is a node that takes slots, besides that of the id. */
export const hasStaying = (map: NodeMap, besides?: string): boolean =>
  map.nodes.some((node) => !node.leaving && node.id !== besides);

/** Slots wait for their former nodes no more: those that are there begin them empty. Undefined when none waits, or nobody is there. */
export function waitEnded(map: NodeMap): NodeMap | undefined {
  if (map.last.size === 0 || !hasStaying(map)) return undefined;
  const draft = draftOf(map);
  draft.last.clear();
  return changed(draft);
}

/** A node has fetched these slots. Undefined when none of them is one that it was to fetch. */
export function settled(map: NodeMap, id: string, slots: Iterable<number>): NodeMap | undefined {
  const fetched = [...slots].filter((slot) => map.from.has(slot) && map.owners[slot] === id);
  if (fetched.length === 0) return undefined;
  const draft = draftOf(map);
  for (const slot of fetched) draft.from.delete(slot);
  return changed(draft);
}

/** Versions may be counted on beyond `count`. Undefined when they may already. */
export function countRaised(map: NodeMap, count: number): NodeMap | undefined {
  if (count + countStep / 2 < map.countBelow) return undefined;
  const draft = draftOf(map);
  draft.countBelow = Math.max(count, map.countBelow) + countStep;
  return changed(draft);
}

/** The same map, newer: for a record that went back to an older one. */
export const repeated = (map: NodeMap): NodeMap => changed(draftOf(map));

interface Draft {
  readonly bornMs: number;
  readonly serial: number;
  nodes: readonly MapNode[];
  readonly last: Map<number, string>;
  readonly owners: (string | undefined)[];
  readonly from: Map<number, string>;
  countBelow: number;
  /** Who goes on, in a slot, after a node that is gone and cannot say what versions it gave. */
  readonly receivers: Set<string>;
}

const draftOf = ({ bornMs, serial, nodes, owners, from, last, countBelow }: NodeMap): Draft => ({
  bornMs,
  serial,
  nodes,
  last: new Map(last),
  owners: [...owners],
  from: new Map(from),
  countBelow,
  receivers: new Set(),
});

function remove(draft: Draft, id: string): void {
  draft.nodes = draft.nodes.filter((node) => node.id !== id);
  for (const [slot, owner] of draft.owners.entries()) {
    const holder = draft.from.get(slot);
    if (holder === id) draft.from.delete(slot);
    if (owner === id) {
      // Who holds the slot still goes on with it; whoever gave it away already begins it anew.
      const next = holder === id ? undefined : holder;
      draft.from.delete(slot);
      draft.owners[slot] = next;
      if (next !== undefined) draft.receivers.add(next);
    } else if (holder === id && owner !== undefined) draft.receivers.add(owner);
  }
}

/** Sets in motion whatever is not where it belongs; what is in motion arrives first. */
function rebalance(draft: Draft): void {
  const staying = draft.nodes.filter((node) => !node.leaving);
  if (staying.length === 0) return;
  const targets = rendezvous(staying.map((node) => node.name));
  for (const [slot, owner] of draft.owners.entries()) {
    const target = staying[targets[slot] ?? 0]?.id;
    if (target === undefined || target === owner || draft.from.has(slot) || draft.last.has(slot)) continue;
    draft.owners[slot] = target;
    if (owner === undefined) draft.receivers.add(target);
    else draft.from.set(slot, owner);
  }
}

function changed(draft: Draft): NodeMap {
  rebalance(draft);
  const { bornMs, serial, owners, from, last, receivers, countBelow } = draft;
  const nodes = draft.nodes.map((node) =>
    receivers.has(node.id) ? { ...node, countFrom: countBelow } : node,
  );
  return {
    bornMs,
    serial: serial + 1,
    nodes,
    owners,
    from,
    last,
    countBelow: receivers.size === 0 ? countBelow : countBelow + countStep,
  };
}
