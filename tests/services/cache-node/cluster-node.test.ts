import { expect, test } from 'vitest';
import { ClusterNode } from '#services/cache-node/cluster-node.ts';
import type { NodeMap } from '#services/cache-node/core/node-map.ts';
import { putOut } from '#services/cache-node/lease-watch.ts';
import type { Owner } from '#shared/runtime/owner-lease.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';

/** A record that is written over the revision that was read. */
function record<Value>() {
  let value: Value | undefined;
  let revision = 0;
  return {
    read: () => Promise.resolve({ value, revision }),
    write: (next: Value | undefined, over: number) => {
      if (over !== revision) return Promise.resolve(undefined);
      value = next;
      return Promise.resolve((revision += 1));
    },
  };
}

test('a node whose lease was taken sends nothing to itself as it was, where the map still has it', async () => {
  const clock = new VirtualClock();
  const map = record<NodeMap>();
  const lease = record<Owner>();
  const left = Promise.withResolvers<void>();
  let ids = 0;
  const node = new ClusterNode({
    name: 'one',
    instance: 'i',
    newId: () => `id${(ids += 1)}`,
    clock,
    leaseMs: 2_000,
    returnMs: 4_000,
    mapRecord: {
      read: async () => {
        const { value, revision } = await map.read();
        return { map: value, revision };
      },
      write: (next, over) => map.write(next, over),
    },
    leaseOf: () => ({
      read: async () => {
        const { value, revision } = await lease.read();
        return { owner: value, revision };
      },
      write: (owner, over) => lease.write(owner, over),
      remove: async (over) => void (await lease.write(undefined, over)),
    }),
    peers: { fetch: () => Promise.reject(new Error('nobody')), tell: () => undefined },
    contents: {
      keeps: () => false,
      prepare: () => undefined,
      isPrepared: () => true,
      ready: () => undefined,
      taken: () => Promise.resolve(),
      admitted: () => Promise.resolve(),
      take: () => [],
      admit: () => undefined,
      drop: () => undefined,
      clear: () => undefined,
    },
    events: {
      joined: () => undefined,
      entered: () => undefined,
      left: () => left.resolve(),
      mapChanged: () => undefined,
      began: () => undefined,
      failed: () => undefined,
    },
  });
  void node.start();
  await clock.advance(1_000);
  expect(node.routeOf(0)).toEqual({ kind: 'serve' });
  await lease.write(putOut('one'), (await lease.read()).revision);
  await clock.until(left.promise, 1_000);
  expect(node.isInTouch()).toBe(true);
  let silentMs = 0;
  for (; ; silentMs += 10) {
    const route = node.routeOf(0);
    if (route.kind === 'serve') break;
    // Nobody listens there any more: who asked would wait for nothing.
    expect(route).toEqual({ kind: 'nobody' });
    await clock.advance(10);
  }
  expect(silentMs).toBeGreaterThan(300);
});
