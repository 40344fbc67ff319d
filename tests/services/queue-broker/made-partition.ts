import type { QueueSettings } from '#services/queue-broker/core/queue-settings.ts';
import { defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import { FlowCourier } from '#services/queue-broker/flow-courier.ts';
import { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { recoverPartition } from '#services/queue-broker/partition-recovery.ts';
import { Partition } from '#services/queue-broker/partition.ts';
import { queueOperations } from '#services/queue-broker/queue-operations.ts';
import { readDequeue, readEnqueueMany } from '#services/queue-broker/queue-requests.ts';
import { QueueStatistics } from '#services/queue-broker/queue-statistics.ts';
import { type Caller, dequeueWork, enqueueManyWork } from '#services/queue-broker/queue-works.ts';
import { WorkerRegistry } from '#services/queue-broker/worker-registry.ts';
import { json } from '#shared/protocol/encoding.ts';
import { createLog } from '#shared/runtime/log.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { VirtualLog, VirtualStream, calmNetwork } from '#tests/support/virtual-log.ts';
import { transitions } from '#tests/support/virtual-world.ts';
import { value } from './made-table.ts';

/** What a caller heard: the value, or the refusal. */
export interface Heard {
  readonly value?: unknown;
  readonly code?: string;
}

/** One partition on a quiet network and a virtual clock, asked through the operations of the broker. */
export class MadePartition {
  readonly clock = new VirtualClock();
  readonly stream: VirtualStream;
  readonly store = new MemoryStore();
  readonly statistics = new QueueStatistics();
  readonly workers = new WorkerRegistry();
  readonly courier = new FlowCourier([{ submit: (work) => this.partition.submit(work) }]);
  readonly losses: unknown[] = [];
  readonly #defaults: QueueSettings;
  #partition: Partition | undefined;

  private constructor(settings: Partial<QueueSettings>, logBytesMax: number) {
    this.stream = new VirtualStream(undefined, logBytesMax);
    this.#defaults = { ...defaultSettings, ...settings };
  }

  /** @param logBytesMax what its log may hold; 0 is without limit */
  static async make(settings: Partial<QueueSettings> = {}, logBytesMax = 0): Promise<MadePartition> {
    const made = new MadePartition(settings, logBytesMax);
    await made.take();
    return made;
  }

  get partition(): Partition {
    if (this.#partition === undefined) throw new Error('the partition was not taken');
    return this.#partition;
  }

  /** Takes the partition, as a broker does that starts: from the rows and the log. */
  async take(): Promise<void> {
    const { clock, stream, store } = this;
    const records = new VirtualLog({ stream, world: clock, process: clock, network: calmNetwork });
    const shared = { partition: 0, clock, log: createLog('test', 'silent'), records, store, broker: 'a' };
    const recovered = await clock.until(
      recoverPartition({
        ...shared,
        snapshots: new MemorySnapshots(),
        transitions,
        defaults: this.#defaults,
      }),
    );
    this.#partition = new Partition({
      ...shared,
      ...recovered,
      random01: () => 0.5,
      announcement: (_, events, at) => () => {
        this.statistics.add(events, at);
        this.workers.add(events, at);
      },
      lost: (error) => this.losses.push(error),
    });
  }

  /** Somebody raises a fence of his own: the partition is lost, and its owner does not know it. */
  takeAway(): void {
    const { stream } = this;
    stream.store({ kind: 'fence', data: new Uint8Array(), expectedFence: stream.lastFence });
  }

  /** Asks for something; what is heard is pushed to the list that is returned. */
  ask(operation: keyof typeof queueOperations, body: object, queue = 'mail'): Heard[] {
    const { heard, caller } = listener();
    const request = {
      message: { data: new Uint8Array() } as Msg,
      queue,
      owners: 'none' as const,
      encodings: { request: json, reply: json },
      caller,
      partition: this.partition,
    };
    const refused = queueOperations[operation](request, body, this);
    if (refused !== undefined) caller.refuse(refused);
    return heard;
  }

  /** The one answer of an operation that does not wait. */
  async answer(operation: keyof typeof queueOperations, body: object, queue = 'mail'): Promise<Heard> {
    const heard = this.ask(operation, body, queue);
    await this.clock.advance(100);
    return heard[0] ?? {};
  }

  async enqueue(items: readonly object[], queue = 'mail'): Promise<readonly string[]> {
    const { heard, caller } = listener();
    this.partition.submit(enqueueManyWork(value(readEnqueueMany(queue, { items }, json)), caller));
    await this.clock.advance(100);
    const { items: made } = (heard[0]?.value ?? { items: [] }) as { items: { id: string }[] };
    return made.map(({ id }) => id);
  }

  /** Leases items. */
  async dequeue(request: object = {}, queue = 'mail'): Promise<readonly { id: string; token: number }[]> {
    const { heard, caller } = listener();
    this.partition.submit(dequeueWork(this.partition, value(readDequeue(queue, request, undefined)), caller));
    await this.clock.advance(100);
    return (heard[0]?.value ?? []) as { id: string; token: number }[];
  }
}

function listener() {
  const heard: Heard[] = [];
  const caller: Caller = {
    value: (answer) => heard.push({ value: answer }),
    refuse: ({ code }) => heard.push({ code }),
    lease: (partition, items) => () =>
      heard.push({
        value: items.map(({ item }) => ({
          id: `${partition.toString(36)}-${item.order.toString(36)}`,
          token: item.token,
        })),
      }),
    written: (answer) => () => heard.push({ value: answer.value() }),
    writtenWithNext: (_, answer) => () => heard.push({ value: answer.value() }),
  };
  return { heard, caller };
}
