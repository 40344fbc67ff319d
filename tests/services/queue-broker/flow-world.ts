import type { Fact } from '#services/queue-broker/core/facts.ts';
import { defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import { decodeBatch } from '#services/queue-broker/fact-codec.ts';
import { FlowCourier, type FlowPartition } from '#services/queue-broker/flow-courier.ts';
import { FlowOutbox } from '#services/queue-broker/flow-outbox.ts';
import { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { FencedError, type LogRecord } from '#services/queue-broker/partition-log.ts';
import { recoverPartition } from '#services/queue-broker/partition-recovery.ts';
import { Partition } from '#services/queue-broker/partition.ts';
import { queueOperations } from '#services/queue-broker/queue-operations.ts';
import { readDequeue } from '#services/queue-broker/queue-requests.ts';
import { QueueStatistics } from '#services/queue-broker/queue-statistics.ts';
import { WorkerRegistry } from '#services/queue-broker/worker-registry.ts';
import { type Caller, dequeueWork } from '#services/queue-broker/queue-works.ts';
import { json } from '#shared/protocol/encoding.ts';
import { partitionOf } from '#shared/protocol/partition.ts';
import { createLog } from '#shared/runtime/log.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import { FlowAuditor } from '#tests/support/flow-auditor.ts';
import { ProcessClock, VirtualClock } from '#tests/support/virtual-clock.ts';
import { openDisk } from '#tests/support/virtual-disk.ts';
import { VirtualLog, VirtualStream } from '#tests/support/virtual-log.ts';
import { transitions } from '#tests/support/virtual-world.ts';
import { value } from './made-table.ts';

const log = createLog('test', 'silent');
const partitions = 3;

/** What a caller heard. Undefined: no answer came, and none will. */
export interface Heard {
  readonly value?: unknown;
  readonly code?: string;
}

export interface FlowWorldOptions {
  /** Steps (a record in a log, a commit of rows) at which the process dies, with nothing that it waited for. */
  readonly crashes?: readonly number[];
  /** The rows do not survive a crash. */
  readonly disksAreLost?: boolean;
  /** How long a record is on its way, there and back: with a slow one, rows are stored while a flow is being made. */
  readonly latencyMs?: number;
  /** Whether finished items are kept; flows must not depend on it. */
  readonly keeps?: boolean;
}

/** Several partitions in one process with an outbox; logs and disks outlive the process, which dies when told. */
export class FlowWorld {
  readonly clock = new VirtualClock();
  readonly auditor = new FlowAuditor();
  /** Facts of all partitions in the order in which they became durable. */
  readonly facts: { readonly partition: number; readonly fact: Fact }[] = [];
  readonly losses: unknown[] = [];
  /** Partitions whose logs have no room for new items. */
  readonly full = new Set<number>();
  readonly #options: FlowWorldOptions;
  readonly #streams: readonly VirtualStream[];
  #stores = makeStores();
  #process: ProcessClock | undefined;
  #partitions: readonly Partition[] = [];
  steps = 0;

  constructor(options: FlowWorldOptions = {}) {
    this.#options = options;
    this.#streams = indexes.map(
      (partition) => new VirtualStream((record) => this.#stored(partition, record)),
    );
  }

  /** Takes all partitions, as often as it needs: taking them are steps, too. */
  async start(): Promise<void> {
    while (this.#partitions.length === 0) {
      const process = new ProcessClock(this.clock);
      this.#process = process;
      const taking = this.#take(process);
      // A fence that a dead process had sent may arrive after this one's: then it is taken once more.
      taking.catch((error: unknown) => {
        if (error instanceof FencedError) process.end();
      });
      for (let ms = 0; !process.hasEnded && this.#partitions.length === 0; ms += 1) {
        if (ms > 10_000) throw new Error('the partitions cannot be taken');
        await this.clock.advance(1);
      }
      if (!process.hasEnded) await taking;
    }
  }

  /** Lets time pass; a process that has died meanwhile is started again. */
  async pass(ms: number): Promise<void> {
    for (const end = this.clock.monotonicMs() + ms; this.clock.monotonicMs() < end;) {
      await this.clock.advance(Math.min(50, end - this.clock.monotonicMs()));
      if (this.#partitions.length === 0) await this.start();
    }
  }

  /** Asks for something until there is an answer: who hears nothing from a dead process asks the next one. */
  async ask(
    operation: keyof typeof queueOperations | 'dequeue',
    queue: string,
    body: object,
  ): Promise<Heard> {
    for (let tries = 0; tries < 1_000; tries += 1) {
      const heard = this.#ask(operation, queue, body);
      for (let ms = 0; ms < 1_000 && heard.length === 0 && this.#partitions.length > 0; ms += 1)
        await this.clock.advance(1);
      const [first] = heard;
      if (first !== undefined && first.code !== 'unavailable' && first.code !== 'timeout') return first;
      await this.pass(10);
    }
    throw new Error(`no answer to ${operation} in ${queue}`);
  }

  /** What is stored under these prefixes once everything is. */
  async records(prefixes: readonly string[]): Promise<readonly string[]> {
    await this.pass(2_000);
    const keys = this.#stores.flatMap((store) => [...store.records()].map(([key]) => key));
    return keys.filter((key) => prefixes.some((prefix) => key.startsWith(prefix)));
  }

  async #take(process: ProcessClock): Promise<void> {
    const outbox = new FlowOutbox({ clock: process, log });
    const taken = await Promise.all(indexes.map((partition) => this.#takeOne(process, outbox, partition)));
    if (process.hasEnded) return;
    this.#partitions = taken;
    outbox.begin(new FlowCourier(taken.map((partition, index) => this.#withRoom(partition, index))));
  }

  #withRoom(partition: Partition, index: number): FlowPartition {
    return {
      submit: (work) => {
        if (this.full.has(index) && work.room === 'new-items')
          work.refuse({ code: 'queue_full', message: 'the log is nearly full' });
        else partition.submit(work);
      },
    };
  }

  async #takeOne(process: ProcessClock, outbox: FlowOutbox, partition: number): Promise<Partition> {
    const stream = this.#streams[partition] ?? new VirtualStream();
    const { latencyMs = 1 } = this.#options;
    const network = { fate: () => ({ arrivalsMs: [latencyMs], answerMs: latencyMs }) };
    const records = new VirtualLog({ stream, world: this.clock, process, network });
    const rows = this.#stores[partition] ?? new MemoryStore();
    const disk = openDisk({ rows, process, fate: () => ({ beforeMs: 1, afterMs: 0, fails: false }) });
    const commit: typeof disk.commit = async (...given) => {
      await disk.commit(...given);
      this.#step();
      if (process.hasEnded) await new Promise(() => undefined);
    };
    const shared = { partition, clock: process, log, records, store: { ...disk, commit }, broker: 'a' };
    const retention = this.#options.keeps === false ? keepsNothing : defaultSettings.retention;
    const defaults = { ...defaultSettings, retention };
    const snapshots = new MemorySnapshots();
    const recovered = await recoverPartition({ ...shared, snapshots, transitions, defaults });
    return new Partition({
      ...shared,
      ...recovered,
      random01: () => 0.5,
      announcement: () => () => undefined,
      outgoing: (number, outgoing) => outbox.note(number, outgoing),
      lost: (error) => this.losses.push(error),
    });
  }

  #ask(operation: keyof typeof queueOperations | 'dequeue', queue: string, body: object): Heard[] {
    const { heard, caller } = listener();
    const partition = this.#partitions[partitionOf(queue, partitions)];
    if (partition === undefined) return heard;
    if (operation === 'dequeue') {
      partition.submit(dequeueWork(partition, value(readDequeue(queue, body, undefined)), caller));
      return heard;
    }
    const encodings = { request: json, reply: json };
    const message = { data: new Uint8Array() } as Msg;
    const request = { message, queue, owners: 'none' as const, encodings, caller, partition };
    const context = {
      statistics: new QueueStatistics(),
      workers: new WorkerRegistry(),
      courier: new FlowCourier(this.#partitions),
    };
    const refused = queueOperations[operation](request, body, context);
    if (refused !== undefined) caller.refuse(refused);
    return heard;
  }

  #stored(partition: number, record: LogRecord): void {
    if (record.kind === 'batch') {
      for (const fact of decodeBatch(record.data, record.sequence).facts) this.#note(partition, fact);
    }
    this.#step();
  }

  #note(partition: number, fact: Fact): void {
    this.facts.push({ partition, fact });
    const orders = 'orders' in fact ? fact.orders : 'order' in fact ? [fact.order] : [];
    for (const order of orders) {
      const id = `${partition}-${order.toString(36)}`;
      this.auditor.take(id, { ...fact });
      if (fact.kind === 'replayed') this.auditor.replay(id);
      if (fact.kind === 'claimed' || fact.kind === 'unblocked') this.auditor.begin(id, fact.kind);
    }
  }

  #step(): void {
    this.steps += 1;
    if (this.#options.crashes?.includes(this.steps) !== true) return;
    this.#process?.end();
    this.#partitions = [];
    if (this.#options.disksAreLost === true) this.#stores = makeStores();
  }
}

const indexes = Array.from({ length: partitions }, (_, index) => index);
const makeStores = () => indexes.map(() => new MemoryStore());
const keepsNothing = { done: { count: 0 }, failed: { count: 0 } };

function listener(): { readonly heard: Heard[]; readonly caller: Caller } {
  const heard: Heard[] = [];
  const caller: Caller = {
    value: (answer) => heard.push({ value: answer }),
    refuse: ({ code }) => heard.push({ code }),
    lease: (partition, items) => () =>
      heard.push({
        value: {
          items: items.map(({ item, payload }) => ({
            id: `${partition}-${item.order.toString(36)}`,
            token: item.token,
            payload: new TextDecoder().decode(payload),
          })),
        },
      }),
    written: (answer) => () => heard.push({ value: answer.value() }),
    writtenWithNext: (_, answer) => () => heard.push({ value: answer.value() }),
  };
  return { heard, caller };
}
