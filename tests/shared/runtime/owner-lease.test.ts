import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type LeaseRecord, type Owner, OwnerLease } from '#shared/runtime/owner-lease.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { leaseRecordContract } from './lease-record.contract.ts';
import { MemoryLeaseRecord } from './memory-lease-record.ts';

const leaseMs = 1_000;

/** Time that moves when it is told to. Each process may see it through a pause of its own. */
class World {
  nowMs = 0;
  #timers: { atMs: number; process: string; action: () => void }[] = [];
  /** Processes that do not run now. Their clocks go on, their timers wait. */
  readonly paused = new Set<string>();

  clockOf(process: string): Clock {
    return {
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      after: (delayMs, action) => {
        const timer = { atMs: this.nowMs + delayMs, process, action };
        this.#timers.push(timer);
        return () => {
          this.#timers = this.#timers.filter((one) => one !== timer);
        };
      },
    };
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, this.nowMs + 50);
      const due = this.#timers.filter((one) => one.atMs <= this.nowMs && !this.paused.has(one.process));
      this.#timers = this.#timers.filter((one) => !due.includes(one));
      for (const timer of due) timer.action();
      await settled();
    }
  }
}

/** Lets every promise that can go on go on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

function node(world: World, record: LeaseRecord, self: Owner) {
  const events: string[] = [];
  const lease = new OwnerLease({
    record,
    clock: world.clockOf(self.instance),
    self,
    leaseMs,
    gained: () => events.push('gained'),
    lost: (by) => events.push(`lost to ${by?.instance ?? 'nobody'}`),
    failed: () => {},
  });
  let ready = false;
  void lease.start().then(() => (ready = true));
  return { lease, events, isReady: () => ready };
}

leaseRecordContract('in memory', () => Promise.resolve(new MemoryLeaseRecord()));

test('the first node owns the cache at once, the second stands by and is ready when it saw the first renew', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  const first = node(world, record, { node: 'a', instance: 'a1' });
  await settled();
  expect([first.lease.holds(), first.isReady()]).toEqual([true, true]);
  const second = node(world, record, { node: 'b', instance: 'b1' });
  await settled();
  expect([second.lease.holds(), second.isReady()]).toEqual([false, false]);
  await world.advance(10 * leaseMs);
  expect([first.lease.holds(), second.lease.holds(), second.isReady()]).toEqual([true, false, true]);
  expect(second.events).toEqual([]);
});

test('a standby takes over from an owner that vanished, within two leases', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  node(world, record, { node: 'a', instance: 'a1' });
  await settled();
  const second = node(world, record, { node: 'b', instance: 'b1' });
  await world.advance(leaseMs);
  world.paused.add('a1');
  await world.advance(2 * leaseMs);
  expect(second.lease.holds()).toBe(true);
  expect(second.events).toEqual(['gained']);
});

test('an owner that wakes up after a pause does not hold the lease, and learns who does', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  const first = node(world, record, { node: 'a', instance: 'a1' });
  node(world, record, { node: 'b', instance: 'b1' });
  await world.advance(leaseMs);
  world.paused.add('a1');
  await world.advance(3 * leaseMs);
  expect(first.lease.holds()).toBe(false);
  world.paused.clear();
  await world.advance(leaseMs);
  expect(first.events).toEqual(['gained', 'lost to b1']);
  expect(first.lease.holds()).toBe(false);
});

test('a restarted process takes its own lease at once', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  node(world, record, { node: 'a', instance: 'a1' });
  await world.advance(leaseMs);
  world.paused.add('a1');
  const again = node(world, record, { node: 'a', instance: 'a2' });
  await settled();
  expect(again.lease.holds()).toBe(true);
});

test('a released lease is taken at the next look', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  const first = node(world, record, { node: 'a', instance: 'a1' });
  await settled();
  const second = node(world, record, { node: 'b', instance: 'b1' });
  await world.advance(leaseMs);
  await first.lease.release();
  expect(first.lease.holds()).toBe(false);
  await world.advance(leaseMs / 4 + 50);
  expect(second.lease.holds()).toBe(true);
});

test('a write of which nothing was heard does not cost the lease', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  const first = node(world, record, { node: 'a', instance: 'a1' });
  await settled();
  record.fault = 'unheard';
  await world.advance(leaseMs / 4);
  record.fault = 'none';
  await world.advance(leaseMs);
  expect(first.lease.holds()).toBe(true);
  expect(first.events).toEqual(['gained']);
});

test('a process is in touch while its questions are answered, whoever owns, and not when it wakes up until one was', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  const first = node(world, record, { node: 'a', instance: 'a1' });
  const second = node(world, record, { node: 'b', instance: 'b1' });
  expect(first.lease.isInTouch()).toBe(false);
  await world.advance(3 * leaseMs);
  expect([first.lease.isInTouch(), second.lease.isInTouch()]).toEqual([true, true]);
  world.paused.add('b1');
  await world.advance(leaseMs);
  // Its own clock says so, before it has asked anything.
  expect([first.lease.isInTouch(), second.lease.isInTouch()]).toEqual([true, false]);
  world.paused.clear();
  await world.advance(50);
  expect(second.lease.isInTouch()).toBe(true);
  record.fault = 'lost';
  await world.advance(leaseMs);
  expect([first.lease.isInTouch(), second.lease.isInTouch()]).toEqual([false, false]);
});

test('an owner that is cut off stops when its lease ends, and goes on with what it has when nobody came meanwhile', async () => {
  const world = new World();
  const record = new MemoryLeaseRecord();
  const first = node(world, record, { node: 'a', instance: 'a1' });
  await settled();
  record.fault = 'lost';
  await world.advance(2 * leaseMs);
  expect(first.lease.holds()).toBe(false);
  record.fault = 'none';
  await world.advance(leaseMs);
  expect(first.lease.holds()).toBe(true);
  expect(first.events).toEqual(['gained']);
});

test('there are never two owners at once, and there is one again when the faults are over', async () => {
  const instance = fc.constantFrom('a1', 'b1', 'c1');
  const step = fc.oneof(
    fc.record({ verb: fc.constant('pause' as const), instance }),
    fc.record({ verb: fc.constant('resume' as const), instance }),
    fc.record({ verb: fc.constant('fault' as const), fault: fc.constantFrom('lost', 'unheard', 'none') }),
    fc.record({ verb: fc.constant('wait' as const), ms: fc.integer({ min: 50, max: 3_000 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const world = new World();
      const record = new MemoryLeaseRecord();
      const nodes = ['a', 'b', 'c'].map((name) => node(world, record, { node: name, instance: `${name}1` }));
      const owners = () => nodes.filter((one) => one.lease.holds()).length;
      for (const one of steps) {
        if (one.verb === 'pause') world.paused.add(one.instance);
        if (one.verb === 'resume') world.paused.delete(one.instance);
        if (one.verb === 'fault') record.fault = one.fault;
        for (let ms = 0; one.verb === 'wait' && ms < one.ms; ms += 50) {
          await world.advance(50);
          expect(owners()).toBeLessThanOrEqual(1);
        }
      }
      world.paused.clear();
      record.fault = 'none';
      await world.advance(4 * leaseMs);
      expect(owners()).toBe(1);
    }),
    { numRuns: 50 },
  );
});
