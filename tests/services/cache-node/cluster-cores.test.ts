import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type KeysCursor, readCursor, writeCursor } from '#services/cache-node/core/keys-cursor.ts';
import {
  type NodeMap,
  countRaised,
  countStep,
  firstMap,
  joined,
  leaving,
  mapNodesMax,
  removed,
  settled,
  nodeOf,
  waitEnded,
} from '#services/cache-node/core/node-map.ts';
import { readMap, writeMap } from '#services/cache-node/core/node-map-text.ts';
import { rendezvous } from '#services/cache-node/core/rendezvous.ts';
import { SlotSet } from '#services/cache-node/core/slot-set.ts';
import { SlotTable } from '#services/cache-node/core/slot-table.ts';
import { VersionCount } from '#services/cache-node/core/version-count.ts';
import { itemsOf, withItems } from '#services/cache-node/batch-parts.ts';
import { cacheSlots, slotOf, slotsOf } from '#shared/protocol/cache-slots.ts';
import { type Encoding, decode, encode, json, msgpack } from '#shared/protocol/encoding.ts';
import { fnv1a32 } from '#shared/protocol/partition.ts';

const everySlot = Array.from({ length: cacheSlots }, (_, slot) => slot);
const aText = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
const aName = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const names = fc.uniqueArray(aName, { minLength: 1, maxLength: 12 });
const slots = fc.uniqueArray(fc.nat(cacheSlots - 1), { maxLength: 200 });

test('the slot of a key is that of FNV-1a over the UTF-8 of namespace, dot and key', () => {
  fc.assert(
    fc.property(aName, aText, (namespace, key) => {
      // A lone surrogate has no UTF-8, and is no key.
      fc.pre(key.isWellFormed());
      const hash = fnv1a32(`${namespace}.${key}`);
      expect(slotOf(namespace, key)).toBe((hash ^ (hash >>> 10)) & 1023);
      expect(slotsOf(namespace)(key)).toBe(slotOf(namespace, key));
    }),
  );
});

test('keys with running numbers spread over all slots', () => {
  const counts = everySlot.map(() => 0);
  for (let n = 0; n < 100_000; n += 1) {
    const slot = slotOf('users', `user:${n}`);
    counts[slot] = (counts[slot] ?? 0) + 1;
  }
  expect(Math.min(...counts)).toBeGreaterThan(30);
  expect(Math.max(...counts)).toBeLessThan(200);
});

test('every node gets its share of the slots within ten points, whatever the nodes are called', () => {
  fc.assert(
    fc.property(names, (nodes) => {
      const owners = rendezvous(nodes);
      for (const index of nodes.keys()) {
        const share = owners.filter((owner) => owner === index).length / cacheSlots;
        expect(Math.abs(share - 1 / nodes.length)).toBeLessThan(0.1);
      }
    }),
  );
});

test('who has which slot does not depend on the order of the names', () => {
  fc.assert(
    fc.property(names, (nodes) => {
      const turned = [...nodes].reverse();
      const owners = rendezvous(nodes).map((index) => nodes[index]);
      expect(rendezvous(turned).map((index) => turned[index])).toEqual(owners);
    }),
  );
});

test('a node that joins or goes moves its own slots alone, at most 1/N and ten points of them', () => {
  fc.assert(
    fc.property(names, aName, (nodes, name) => {
      fc.pre(!nodes.includes(name));
      const before = rendezvous(nodes).map((index) => nodes[index]);
      const more = [...nodes, name];
      const after = rendezvous(more).map((index) => more[index]);
      const moved = everySlot.filter((slot) => before[slot] !== after[slot]);
      expect(new Set(moved.map((slot) => after[slot]))).toEqual(new Set(moved.length > 0 ? [name] : []));
      expect(moved.length / cacheSlots).toBeLessThanOrEqual(1 / more.length + 0.1);
    }),
  );
});

/** A step that a cluster may take: what it is, and which of several nodes and slots it is about. */
type Step = readonly ['join' | 'leave' | 'end' | 'remove' | 'settle' | 'raise' | 'give up', number];
const steps = fc.array(
  fc.tuple(
    fc.constantFrom<Step[0]>('join', 'leave', 'leave', 'end', 'end', 'remove', 'settle', 'raise', 'give up'),
    fc.nat(1_000),
  ),
  { maxLength: 40 },
);

/** What a node says that it has fetched, or holds to its end; by default it may be anything. */
type Held = (id: string, slots: readonly number[]) => readonly number[];

function stepped(map: NodeMap, [kind, n]: Step, run: number, held: Held = (_, all) => all): NodeMap {
  const id = map.nodes[n % Math.max(1, map.nodes.length)]?.id ?? 'nobody';
  switch (kind) {
    case 'join':
      return joined(map, { id: `id-${run}`, name: `node-${n % 6}` }) ?? map;
    case 'leave':
      return leaving(map, id) ?? map;
    case 'remove':
      return removed(map, id) ?? map;
    case 'end':
      return removed(map, id, held(id, everySlot)) ?? map;
    case 'give up':
      return waitEnded(map) ?? map;
    case 'settle':
      return settled(map, id, held(id, [...map.from.keys()].slice(0, n))) ?? map;
    case 'raise':
      return countRaised(map, map.countBelow - 1) ?? map;
  }
}

const mapsOf = (all: readonly Step[]): readonly NodeMap[] => {
  const maps = [firstMap(1_000)];
  for (const [run, step] of all.entries()) maps.push(stepped(maps.at(-1) ?? firstMap(0), step, run));
  return maps;
};

test('whatever happens, every slot has an owner that is there or waits for one, and comes from one that is there', () => {
  fc.assert(
    fc.property(steps, (all) => {
      for (const map of mapsOf(all)) {
        const ids = new Set(map.nodes.map(({ id }) => id));
        expect(new Set(map.nodes.map(({ name }) => name)).size).toBe(ids.size);
        expect(new Set(map.nodes.map(({ index }) => index)).size).toBe(ids.size);
        const canOwn = map.nodes.some((node) => !node.leaving);
        for (const [slot, owner] of map.owners.entries()) {
          const isFree = !canOwn || map.last.has(slot);
          expect(owner === undefined ? isFree : ids.has(owner) && !map.last.has(slot)).toBe(true);
        }
        const names = new Set(map.nodes.map(({ name }) => name));
        for (const name of map.last.values()) expect(names.has(name)).toBe(false);
        for (const [slot, from] of map.from) expect(ids.has(from) && map.owners[slot] !== from).toBe(true);
      }
    }),
    { numRuns: 50 },
  );
});

test('maps grow in serial and count, and once everything has arrived slots are where they belong', () => {
  fc.assert(
    fc.property(steps, (all) => {
      let before: NodeMap | undefined;
      for (const map of mapsOf(all)) {
        if (before !== undefined && map !== before) {
          expect(map.serial).toBe(before.serial + 1);
          expect(map.bornMs).toBe(before.bornMs);
          expect(map.countBelow).toBeGreaterThanOrEqual(before.countBelow);
        }
        before = map;
      }
      let map = before ?? firstMap(0);
      map = waitEnded(map) ?? map;
      while (map.from.size > 0)
        for (const { id } of map.nodes) map = settled(map, id, [...map.from.keys()]) ?? map;
      const staying = map.nodes.filter((node) => !node.leaving);
      if (staying.length === 0) return;
      const targets = rendezvous(staying.map(({ name }) => name));
      expect(map.owners).toEqual(targets.map((index) => staying[index]?.id));
    }),
    { numRuns: 50 },
  );
});

test('files are void up to where others answered, also where the process dies before it has emptied them', () => {
  const first = joined(firstMap(0), { id: 'a1', name: 'a' });
  const alone = first && joined(first, { id: 'a2', name: 'a' });
  const sinceOf = (map: NodeMap | undefined, id: string) => nodeOf(map ?? firstMap(0), id)?.filesSince;
  // Killed and started again, it goes on with what it had.
  expect(sinceOf(alone, 'a2')).toBe(sinceOf(first, 'a1'));
  const taken = alone && removed(joined(alone, { id: 'b1', name: 'b' }) ?? alone, 'a2');
  const gone = taken && removed(taken, 'b1', everySlot);
  const back = gone && joined(gone, { id: 'a3', name: 'a' });
  expect(sinceOf(back, 'a3')).toBe(gone?.countBelow);
  const again = back && joined(back, { id: 'a4', name: 'a' });
  expect(sinceOf(again, 'a4')).toBe(sinceOf(back, 'a3'));
});

test('where all nodes leave, each finds again what it held to the end, and nobody else begins that meanwhile', () => {
  let map = firstMap(0);
  for (const name of ['a', 'b', 'c']) map = joined(map, { id: name, name }) ?? map;
  for (const id of ['a', 'b', 'c']) map = settled(map, id, everySlot) ?? map;
  const before = map.owners;
  const slotsOfNode = (id: string) => everySlot.filter((slot) => before[slot] === id);
  for (const id of ['a', 'b', 'c']) map = leaving(map, id) ?? map;
  // What one of them was to fetch from another is where it was.
  expect(map.from.size).toBeGreaterThan(0);
  for (const id of ['a', 'b', 'c']) map = removed(map, id, slotsOfNode(id)) ?? map;
  expect(map.last.size).toBe(cacheSlots);
  map = joined(map, { id: 'd1', name: 'd' }) ?? map;
  expect(map.owners.every((owner) => owner === undefined)).toBe(true);
  map = joined(map, { id: 'b1', name: 'b' }) ?? map;
  expect(nodeOf(map, 'b1')?.filesSince).toBe(0);
  for (const slot of slotsOfNode('b')) expect([map.owners[slot], map.from.get(slot) ?? 'b1']).toContain('b1');
  expect(everySlot.filter((slot) => map.owners[slot] === undefined)).toEqual(
    everySlot.filter((slot) => before[slot] !== 'b'),
  );
  map = waitEnded(map) ?? map;
  expect(map.owners.every((owner) => owner !== undefined)).toBe(true);
  map = joined(map, { id: 'a1', name: 'a' }) ?? map;
  // Others answered for its slots since.
  expect(nodeOf(map, 'a1')?.filesSince).toBeGreaterThan(0);
});

test('what a node says that it held counts where it was its own, or another one was to fetch it', () => {
  let map = firstMap(0);
  for (const name of ['a', 'b']) map = joined(map, { id: name, name }) ?? map;
  for (const id of ['a', 'b']) map = settled(map, id, everySlot) ?? map;
  map = leaving(map, 'a') ?? map;
  const mine = everySlot.filter((slot) => map.owners[slot] === 'a' || map.from.get(slot) === 'a');
  expect([...(removed(map, 'a', everySlot)?.last.keys() ?? [])]).toEqual(mine);
});

test('a slot that was of a node in a map that it has not seen is given with what its files have', () => {
  const alone = joined(firstMap(0), { id: 'a', name: 'a' }) ?? firstMap(0);
  const both = joined(alone, { id: 'b', name: 'b' }) ?? alone;
  const table = new SlotTable('a', both);
  const { begun } = table.adopt(both);
  const [moving = -1] = [...both.from.keys()];
  expect(begun).toContain(moving);
  expect(table.give(moving, 'b')).toBe('given');
});

test('a map that is full takes no node but one that comes back under its name', () => {
  let map = firstMap(0);
  for (let n = 0; n < mapNodesMax; n += 1) map = joined(map, { id: `i${n}`, name: `n${n}` }) ?? map;
  expect(joined(map, { id: 'more', name: 'more' })).toBeUndefined();
  expect(joined(map, { id: 'again', name: 'n3' })?.nodes).toHaveLength(mapNodesMax);
});

test('a map is read as it was written, and anything else is none', () => {
  fc.assert(
    fc.property(steps, (all) => {
      for (const map of mapsOf(all).slice(-3)) expect(readMap(writeMap(map))).toEqual(map);
    }),
    { numRuns: 30 },
  );
  const good = writeMap(firstMap(1));
  // A map of before it had a birth.
  expect(readMap(good.replace('"bornMs":1,', ''))).toEqual({ ...firstMap(1), bornMs: 0 });
  for (const text of ['', '{}', '[]', 'null', good.slice(1), good.replace('"nodes":[]', '"nodes":[1]')])
    expect(readMap(text)).toBeUndefined();
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => readMap(text) === undefined));
});

/** All nodes of a line of maps, each at its own place in it: what a node learns late is what makes this hard. */
class Tables {
  readonly tables = new Map<string, SlotTable>();

  adopt(map: NodeMap, isLate: (id: string) => boolean): void {
    for (const { id } of map.nodes) {
      const table = this.tables.get(id) ?? new SlotTable(id, firstMap(0));
      this.tables.set(id, table);
      if (!isLate(id)) table.adopt(map);
    }
    // Who is out of the map has seen its lease end before.
    for (const id of this.tables.keys())
      if (!map.nodes.some((node) => node.id === id)) this.tables.delete(id);
  }

  /** A node fetches what it may of another one. */
  fetch(to: string, from: string): void {
    const [receiver, giver] = [this.tables.get(to), this.tables.get(from)];
    const begun = receiver?.arrive(everySlot, from) ?? [];
    if (giver === undefined || receiver === undefined) return;
    receiver.arrived(begun.filter((slot) => giver.give(slot, to) !== 'refused'));
  }

  /** A node says of a slot that it has fetched it only once it answers for it. */
  heldBy(id: string, slots: readonly number[]): readonly number[] {
    return slots.filter((slot) => this.tables.get(id)?.stateOf(slot) === 'held');
  }

  heldTwice(): readonly number[] {
    return everySlot.filter(
      (slot) => [...this.tables.values()].filter((table) => table.stateOf(slot) === 'held').length > 1,
    );
  }
}

test('no slot is answered for by two nodes, however late they learn of maps', () => {
  const late = fc.array(fc.nat(7), { minLength: 40, maxLength: 40 });
  fc.assert(
    fc.property(steps, late, (all, lateness) => {
      const tables = new Tables();
      let map = firstMap(1_000);
      for (const [at, step] of all.entries()) {
        map = stepped(map, step, at, (id, slots) => tables.heldBy(id, slots));
        tables.adopt(map, (id) => (Number(id.slice(3)) + (lateness[at] ?? 0)) % 3 === 0);
        const ids = map.nodes.map(({ id }) => id);
        for (const to of ids) for (const from of ids) if (to !== from) tables.fetch(to, from);
        expect(tables.heldTwice()).toEqual([]);
      }
    }),
    { numRuns: 40 },
  );
});

test('a slot that was given is given again to the same node, and to no other one', () => {
  const one = joined(firstMap(0), { id: 'a', name: 'a' }) ?? firstMap(0);
  const two = joined(one, { id: 'b', name: 'b' }) ?? one;
  const table = new SlotTable('a', firstMap(0));
  expect(table.adopt(one).begun).toEqual(everySlot);
  expect(table.heldCount).toBe(cacheSlots);
  table.adopt(two);
  const [slot = -1] = two.from.keys();
  expect(table.routeOf(slot)).toEqual({ kind: 'serve' });
  expect(table.give(slot, 'c')).toBe('refused');
  expect(table.give(slot, 'b')).toBe('given');
  expect(table.give(slot, 'b')).toBe('again');
  expect(table.routeOf(slot)).toEqual({ kind: 'forward', node: 'b' });
  const stays = everySlot.find((other) => !two.from.has(other)) ?? -1;
  expect(table.give(stays, 'b')).toBe('refused');
});

test('versions grow, are those of one node, and lie above every version that was heard of', () => {
  fc.assert(
    fc.property(fc.nat(mapNodesMax - 1), fc.array(fc.nat(2 ** 40), { maxLength: 50 }), (index, heard) => {
      const versions = new VersionCount();
      const node = { id: 'a', name: 'a', leaving: false, index, countFrom: 5, filesSince: 0 };
      versions.adopt({ ...firstMap(0), nodes: [node], countBelow: 2 ** 40 }, node);
      let last = 5 * mapNodesMax;
      for (const version of heard) {
        versions.raise(version);
        const given = versions.next();
        expect(given).toBeGreaterThan(Math.max(last, version));
        expect(given % mapNodesMax).toBe(index);
        last = given;
      }
    }),
  );
});

test('versions are given up to what the map allows, which is asked for in good time', () => {
  const map = { ...firstMap(0), countBelow: countStep };
  const node = { id: 'a', name: 'a', leaving: false, index: 0, countFrom: 0, filesSince: 0 };
  const versions = new VersionCount();
  expect(versions.hasRoom).toBe(false);
  versions.adopt(map, node);
  expect([versions.hasRoom, versions.wanted]).toEqual([true, undefined]);
  versions.raise((countStep / 2) * mapNodesMax);
  expect([versions.hasRoom, versions.wanted]).toEqual([true, countStep / 2]);
  versions.raise(countStep * mapNodesMax);
  expect(versions.hasRoom).toBe(false);
  const raised = countRaised(map, versions.wanted ?? 0);
  versions.adopt(raised ?? map, node);
  expect(versions.hasRoom).toBe(true);
});

test.each<[string, Encoding]>([
  ['JSON', json],
  ['MessagePack', msgpack],
])('a batch in %s is taken apart and put together again, whatever its values', (_, encoding) => {
  const value = fc.jsonValue({ depthSize: 'small' });
  const items = fc.array(fc.record({ key: aText, value }), { maxLength: 20 });
  fc.assert(
    fc.property(items, fc.nat(19), (list, at) => {
      fc.pre(list.every(({ key }) => key.isWellFormed()));
      const body = encode({ other: [[1]], items: list }, encoding);
      const parts = itemsOf(body, 'items', encoding);
      expect(parts.map((part) => decode(part, encoding))).toEqual(
        list.map((item) => decode(encode(item, encoding), encoding)),
      );
      const [some, rest] = [parts.slice(0, at), parts.slice(at)];
      const again = itemsOf(withItems([...some, ...rest], 'items', encoding), 'items', encoding);
      expect(again.map((part) => Buffer.from(part))).toEqual(parts.map((part) => Buffer.from(part)));
    }),
  );
});

const listing = { namespace: 'n', prefix: 'p' };

test('a cursor is read as it was written', () => {
  const at = fc.record({ node: fc.stringMatching(/^[0-9a-f]{16}$/), slots, serial: fc.maxSafeNat() });
  const cursor = fc.stringMatching(/^[A-Za-z0-9_-]{1,30}$/);
  fc.assert(
    fc.property(slots, fc.option(at), cursor, (done, where, nodes) => {
      const made: KeysCursor = {
        done: SlotSet.of(done),
        ...(where === null ? {} : { at: { ...where, slots: SlotSet.of(where.slots), cursor: nodes } }),
      };
      const read = readCursor(writeCursor(made, listing), listing);
      expect([...(read?.done ?? [])]).toEqual([...done].sort((a, b) => a - b));
      expect(read?.at?.node).toBe(where?.node);
      expect(read?.at?.serial).toBe(where?.serial);
      expect(read?.at?.cursor).toBe(where === null ? undefined : nodes);
      expect([...(read?.at?.slots ?? [])]).toEqual([...(where?.slots ?? [])].sort((a, b) => a - b));
    }),
  );
});

test('what is no cursor is refused, and nothing is thrown', () => {
  const good = writeCursor({ done: new SlotSet() }, listing);
  for (const text of ['', 'x', `${good}.a`, `${good}.a.${good}`, `${good}.a.${good}.z`, `${good}.a.b.c.d`])
    expect(readCursor(text, listing)).toBeUndefined();
  fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void readCursor(text, listing)));
});

test('a cursor is refused that was changed in one place, or is of another listing', () => {
  const at = { node: '0123456789abcdef', slots: new SlotSet(), serial: 7, cursor: 'a2V5' };
  const good = writeCursor({ done: SlotSet.of([1, 2]), at }, listing);
  expect(readCursor(good, listing)).toBeDefined();
  for (const other of [
    { namespace: 'm', prefix: 'p' },
    { namespace: 'n', prefix: 'q' },
  ])
    expect(readCursor(good, other)).toBeUndefined();
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.constantFrom('a', 'Z', '0', '_', '-', '.'), (place, letter) => {
      fc.pre(good[place] !== letter);
      expect(readCursor(good.slice(0, place) + letter + good.slice(place + 1), listing)).toBeUndefined();
    }),
  );
});
