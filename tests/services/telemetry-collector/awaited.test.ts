import { expect, test } from 'vitest';
import { Peers, awaitedMs } from '#services/telemetry-collector/peers.ts';
import { Redeliveries } from '#services/telemetry-collector/redeliveries.ts';
import type { Delivery } from '#services/telemetry-collector/inbox.ts';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { createLog } from '#shared/runtime/log.ts';
import { Loopback } from '#shared/runtime/loopback.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import type { KV, Nats } from '#shared/runtime/nats.ts';

// The bound of docs/decisions/0025-who-counts.md, with a clock that stands still until the test lets time pass.

const second = 1_000;
const minute = 60 * second;
const sequence = 7;

/** A bucket whose entries end as long after their last writing as whoever made it has asked for. */
class Bucket {
  readonly #clock: ManualClock;
  readonly #writtenMs = new Map<string, number>();
  ttlMs = 0;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  put(key: string): Promise<number> {
    this.#writtenMs.set(key, this.#clock.monotonicMs());
    return Promise.resolve(0);
  }

  async *keys(): AsyncGenerator<string> {
    await Promise.resolve();
    for (const [key, atMs] of this.#writtenMs) if (this.#clock.monotonicMs() < atMs + this.ttlMs) yield key;
  }
}

/** Collectors without JetStream: what they say to each other, and what becomes of a message that comes again. */
class World {
  readonly clock = new ManualClock(Date.UTC(2026, 0, 1));
  readonly #loopback = new Loopback(this.clock);
  readonly #bucket = new Bucket(this.clock);
  readonly taken: string[] = [];
  readonly handedOver: string[] = [];

  /** One that has counted the message, or one that has not. */
  async collector(name: string, hasCounted: boolean) {
    const kvm = {
      create: (_name: string, { ttl }: { readonly ttl: number }) => {
        this.#bucket.ttlMs = ttl;
        return Promise.resolve({
          put: (key: string) => this.#bucket.put(key),
          keys: () => Promise.resolve(this.#bucket.keys()),
        } as unknown as KV);
      },
    };
    const peers = new Peers({
      nats: Object.create(this.#loopback.connect(), { kvm: { value: kvm } }) as Nats,
      subjects: subjectsFor('trivet'),
      streams: streamsFor('trivet'),
      name,
      replicas: 1,
      clock: this.clock,
      log: createLog('test', 'silent'),
    });
    await peers.join((_operation, body) => (hasCounted ? body : []));
    const redeliveries = new Redeliveries({
      peers,
      position: () => Promise.resolve({ deliveredThrough: 0, lastSequence: 0 }),
      pendingMax: 1,
      isOwn: () => hasCounted,
      take: () => this.taken.push(name),
      handOver: (_delivery, collector) => this.handedOver.push(collector),
      clock: this.clock,
    });
    return { peers, redeliveries };
  }

  /** Gives the message to a collector for `ms`, again and again as it asks for it, as JetStream does. */
  async giveFor(ms: number, redeliveries: Redeliveries): Promise<void> {
    let isGivenBack = true;
    const later = () => {
      isGivenBack = true;
    };
    for (let passedMs = 0; passedMs < ms; passedMs += second) {
      if (isGivenBack) {
        isGivenBack = false;
        redeliveries.take({ sequence, deliveries: 2, later, body: new Uint8Array() } as unknown as Delivery);
      }
      await this.pass(second);
    }
  }

  pass(ms: number): Promise<void> {
    return this.clock.advance(ms, () => this.#loopback.settled());
  }
}

test('what a lost collector may have counted is counted by another one ten minutes after it was last there', async () => {
  expect(awaitedMs).toBe(10 * minute);
  const world = new World();
  const lost = await world.collector('lost', true);
  const other = await world.collector('other', false);
  // It renews its registration, so that the ten minutes begin with its end and not with its start.
  await world.pass(30 * minute);
  lost.peers.leave();
  await world.giveFor(10 * minute - second, other.redeliveries);
  expect(world.taken).toEqual([]);
  await world.giveFor(5 * second, other.redeliveries);
  expect(world.taken).toEqual(['other']);
  expect(world.handedOver).toEqual([]);
});

test('a collector that comes back within the ten minutes is handed what it has counted', async () => {
  const world = new World();
  const away = await world.collector('away', true);
  const other = await world.collector('other', false);
  away.peers.leave();
  await world.giveFor(9 * minute + 55 * second, other.redeliveries);
  await world.collector('away', true);
  await world.giveFor(5 * second, other.redeliveries);
  expect([world.taken, world.handedOver]).toEqual([[], ['away']]);
});

test('a message that nobody has counted waits for nobody when all collectors answer', async () => {
  const world = new World();
  await world.collector('one', false);
  const other = await world.collector('other', false);
  await world.giveFor(second, other.redeliveries);
  expect(world.taken).toEqual(['other']);
});
