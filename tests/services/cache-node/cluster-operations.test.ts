import { expect, test } from 'vitest';
import { ClusterOperations, type OwnPart } from '#services/cache-node/cluster-operations.ts';
import type { ClusterNode } from '#services/cache-node/cluster-node.ts';
import { SlotSet } from '#services/cache-node/core/slot-set.ts';
import { cacheSlots, slotOf } from '#shared/protocol/cache-slots.ts';
import { accept } from '#shared/protocol/errors.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';

// The stand-ins have what `keys` uses of a node.
const all = Array.from({ length: cacheSlots }, (_, slot) => slot);

test('keys answers in the end also where some slots stay on their way', async () => {
  const clock = new VirtualClock();
  // By the map slot 5 comes from `a`, which has given it: the map does not get to know that it has arrived.
  const map = {
    serial: 7,
    nodes: [{ id: 'a' }, { id: 'b' }],
    owners: all.map((slot) => (slot === 5 ? 'b' : 'a')),
    from: new Map([[5, 'a']]),
  };
  const node = {
    id: 'a',
    map,
    mayServe: () => true,
    heldSlots: () => all.filter((slot) => slot !== 5),
    heldSince: () => 1,
  } as unknown as ClusterNode;
  const own = {
    has: () => true,
    within: async (_name: string, act: (one: object, nowMs: number, tier: undefined) => unknown) =>
      accept(
        await act(
          {
            keys: ({ wanted }: { wanted: (key: string) => boolean }) =>
              accept({ keys: ['x'].filter(wanted) }),
          },
          0,
          undefined,
        ),
      ),
  } as unknown as OwnPart;
  const operations = new ClusterOperations({
    node,
    own,
    clock,
    ask: () => Promise.reject(new Error()),
    failed: () => {},
  });
  expect(await clock.until(operations.keys('n', {}), 60_000)).toMatchObject({
    ok: true,
    value: { keys: ['x'] },
  });
});

test('keys counts no slot as listed that was given away while the backend was read', async () => {
  const key = 'x';
  const slot = slotOf('n', key);
  let held = all;
  const node = {
    id: 'a',
    map: { serial: 7, nodes: [{ id: 'a' }], owners: all.map(() => 'a'), from: new Map() },
    mayServe: () => true,
    heldSlots: () => held,
    heldSince: (one: number) => (held.includes(one) ? 1 : Infinity),
  } as unknown as ClusterNode;
  const tier = {
    page: async () => {
      await Promise.resolve();
      // Another node fetches the slot: its rows leave the file before the page is read.
      held = all.filter((one) => one !== slot);
      return { keys: [] };
    },
  };
  const own = {
    has: () => true,
    within: async (_name: string, act: (one: object, nowMs: number, behind: object) => unknown) =>
      accept(await act({}, 0, tier)),
  } as unknown as OwnPart;
  const operations = new ClusterOperations({
    node,
    own,
    clock: systemClock,
    ask: () => Promise.reject(new Error()),
    failed: () => {},
  });
  const answer = (await operations.answer({
    kind: 'keys',
    namespace: 'n',
    prefix: '',
    limit: 10,
    slots: SlotSet.of(all).write(),
  })) as { slots: string };
  expect(SlotSet.read(answer.slots)?.has(slot)).toBe(false);
});
