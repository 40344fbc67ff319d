import { defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import type { ItemStore } from '#services/queue-broker/item-store.ts';
import { LogCompactor } from '#services/queue-broker/log-compactor.ts';
import { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { recoverPartition } from '#services/queue-broker/partition-recovery.ts';
import { Partition } from '#services/queue-broker/partition.ts';
import { readDequeue, readEnqueueMany } from '#services/queue-broker/queue-requests.ts';
import { type Caller, dequeueWork, enqueueManyWork } from '#services/queue-broker/queue-works.ts';
import { json } from '#shared/protocol/encoding.ts';
import { createLog } from '#shared/runtime/log.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { VirtualLog, VirtualStream, calmNetwork } from '#tests/support/virtual-log.ts';
import { transitions } from '#tests/support/virtual-world.ts';
import { value } from './made-table.ts';

/** One log and one store of snapshots, and brokers with disks of their own that take the partition in turn. */
export class KeptLog {
  readonly clock = new VirtualClock();
  readonly stream: VirtualStream;
  snapshots = new MemorySnapshots();

  constructor(options: { readonly bytesMax?: number } = {}) {
    this.stream = new VirtualStream(undefined, options.bytesMax ?? 0);
  }

  /** A broker takes the partition with the rows that its disk holds. */
  take(store: ItemStore = new MemoryStore()): Promise<LogOwner> {
    return this.clock.until(this.#take(store));
  }

  async #take(store: ItemStore): Promise<LogOwner> {
    const { clock, stream, snapshots } = this;
    const records = new VirtualLog({ stream, world: clock, process: clock, network: calmNetwork });
    const shared = {
      partition: 0,
      broker: 'a',
      clock,
      log: createLog('test', 'silent'),
      records,
      store,
      snapshots,
    };
    const recovered = await recoverPartition({ ...shared, transitions, defaults: defaultSettings });
    const losses: unknown[] = [];
    const partition = new Partition({
      ...shared,
      ...recovered,
      random01: () => 0.5,
      announcement: () => () => undefined,
      lost: (error) => losses.push(error),
    });
    const compactor = new LogCompactor({
      partitions: [{ number: 0, partition, snapshots }],
      clock,
      log: shared.log,
      intervalMs: 3_600_000,
    });
    return new LogOwner({ clock, partition, compactor, store, losses });
  }
}

/** Numbers of items, and so their keys: no two owners of a log use one twice. */
let items = 0;

/** A broker that has taken the partition. */
export class LogOwner {
  readonly #clock: VirtualClock;
  readonly partition: Partition;
  /** Not started: it does what the test says. */
  readonly compactor: LogCompactor;
  readonly store: ItemStore;
  readonly losses: readonly unknown[];

  constructor(parts: {
    readonly clock: VirtualClock;
    readonly partition: Partition;
    readonly compactor: LogCompactor;
    readonly store: ItemStore;
    readonly losses: readonly unknown[];
  }) {
    this.#clock = parts.clock;
    this.partition = parts.partition;
    this.compactor = parts.compactor;
    this.store = parts.store;
    this.losses = parts.losses;
  }

  /** Enqueues items in one record. @returns what the caller heard */
  async enqueue(count: number, payload: unknown = 'x'): Promise<string> {
    const heard: string[] = [];
    const caller: Caller = {
      ...silentCaller,
      written: () => () => heard.push('done'),
      refuse: ({ code }) => heard.push(code),
    };
    const made = Array.from({ length: count }, () => {
      items += 1;
      return { payload: { number: items, payload }, key: `${items}` };
    });
    this.partition.submit(enqueueManyWork(value(readEnqueueMany('mail', { items: made }, json)), caller));
    await this.#clock.advance(100);
    return heard.join(' ');
  }

  async dequeue(request: object): Promise<void> {
    const call = value(readDequeue('mail', request, undefined));
    this.partition.submit(dequeueWork(this.partition, call, silentCaller));
    await this.#clock.advance(100);
  }

  /** Two snapshots, the log truncated behind each. */
  compact(): Promise<void> {
    return this.#clock.until(this.compactor.compact());
  }

  /** Ends without another word, as a killed process does; the disk keeps what is stored. */
  async end(): Promise<void> {
    await this.#clock.until(this.compactor.stop());
    await this.#clock.until(this.partition.abandon());
  }

  async drain(): Promise<void> {
    await this.#clock.until(this.compactor.stop());
    await this.#clock.until(this.partition.drain());
  }

  get count(): number {
    return this.partition.table.queue('mail')?.countOf('pending') ?? 0;
  }
}

const silentCaller: Caller = {
  value: () => undefined,
  refuse: () => undefined,
  lease: () => () => undefined,
  written: () => () => undefined,
  writtenWithNext: () => () => undefined,
};
