import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats, Subscription } from '#shared/runtime/nats.ts';
import { defaultSettings } from './core/queue-settings.ts';
import { type TransitionTable, compileTable } from './core/transition-table.ts';
import { FlowOutbox } from './flow-outbox.ts';
import { MemoryLog } from './memory-log.ts';
import { MemorySnapshots } from './memory-snapshots.ts';
import { MemoryStore } from './memory-store.ts';
import type { Observer } from './observation.ts';
import { recoverPartition } from './partition-recovery.ts';
import { Partition } from './partition.ts';
import type { PartitionOptions } from './partition-options.ts';
import { QueueServing } from './queue-serving.ts';

export interface MemoryBrokerOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly log: Log;
  readonly random01: () => number;
}

/** One is enough where nothing is spread: whatever holds across partitions holds within one. */
const partition = 0;

/** Checked against the machine by the tests and at the start of every broker, so it is not checked here again. */
let transitions: TransitionTable | undefined;

/**
 * A broker without log and table on a disk: the same partition, operations and wire as those of `Broker`, in memory.
 * For the tests of users; what it holds ends with it.
 */
export class MemoryBroker {
  readonly #serving: QueueServing;
  readonly #partition: Partition;
  readonly #flows: FlowOutbox;
  readonly #subscriptions: readonly Subscription[];
  #onChange: (() => void) | undefined;

  static async start(options: MemoryBrokerOptions): Promise<MemoryBroker> {
    transitions ??= compileTable();
    const { clock, log } = options;
    const shared = {
      partition,
      broker: 'memory',
      clock,
      log,
      records: new MemoryLog(),
      store: new MemoryStore(),
    };
    const snapshots = new MemorySnapshots();
    const recovered = await recoverPartition({
      ...shared,
      snapshots,
      transitions,
      defaults: defaultSettings,
    });
    return new MemoryBroker(options, { ...shared, ...recovered });
  }

  private constructor(
    options: MemoryBrokerOptions,
    parts: Omit<PartitionOptions, 'announcement' | 'outgoing' | 'lost' | 'random01'>,
  ) {
    const { random01 } = options;
    const serving = new QueueServing({ ...options, observer: nobody });
    const { hooks } = serving;
    const flows = new FlowOutbox(options);
    this.#partition = new Partition({
      ...parts,
      random01,
      ...hooks,
      announcement: (number, events, at) => {
        const announce = hooks.announcement(number, events, at);
        return () => {
          announce();
          this.#onChange?.();
        };
      },
      outgoing: (number, outgoing) => flows.note(number, outgoing),
      // Memory does not fail, so this is a defect, and the test that met it should show it.
      lost: (error) => {
        throw new Error('the queue in memory has failed', { cause: error });
      },
    });
    const { courier, subscriptions } = serving.serve([this.#partition]);
    flows.begin(courier);
    this.#serving = serving;
    this.#flows = flows;
    this.#subscriptions = subscriptions;
  }

  /** How many items are in each of these states, by queue; queues that have none are left out. */
  holding(states: readonly QueueStatus[]): ReadonlyMap<string, number> {
    const held = new Map<string, number>();
    for (const [queue, { counts }] of this.#partition.table.queues) {
      const count = states.reduce((sum, state) => sum + counts[state], 0);
      if (count > 0) held.set(queue, count);
    }
    return held;
  }

  /** Resolves when an item next changes its state. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#onChange = resolve;
    });
  }

  async stop(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#flows.stop();
    await this.#partition.drain();
    this.#serving.end();
  }
}

const nobody: Observer = {
  answered: () => undefined,
  appended: () => undefined,
  changed: () => undefined,
};
