import { join } from 'node:path';
import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { priorities } from '#shared/protocol/queue-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Ending } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import { Callers } from './callers.ts';
import { itemId } from './core/item.ts';
import { defaultRetention } from './core/queue-index.ts';
import type { StateEvent } from './core/state-event.ts';
import { type TransitionTable, checkTable, compileTable } from './core/transition-table.ts';
import { IngestReader, ensureIngestStream } from './ingest-reader.ts';
import { JetStreamLog } from './jetstream-log.ts';
import { LmdbStore } from './lmdb-store.ts';
import type { Observer } from './observation.ts';
import { Ownership } from './ownership.ts';
import { recoverPartition } from './partition-recovery.ts';
import { FencedError } from './partition-log.ts';
import { Partition } from './partition.ts';
import { QueueService } from './queue-service.ts';
import { QueueStatistics } from './queue-statistics.ts';

export interface BrokerOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly name: string;
  readonly data: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly logBytesMax: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
  readonly random01: () => number;
  readonly ending: Ending;
}

/** What this broker holds while it owns the partitions. */
interface Reign {
  readonly partitions: readonly Partition[];
  readonly readers: readonly IngestReader[];
  readonly subscriptions: readonly Subscription[];
}

/** The queue group of the brokers: a request goes to one of them. */
export const brokerGroup = 'trivet-queue';

/** A broker: takes the partitions when it may, serves them, gives them up when it must, and tries again. */
export class Broker {
  readonly #options: BrokerOptions;
  readonly #ownership: Ownership;
  readonly #statistics = new QueueStatistics();
  readonly #transitions: TransitionTable;
  readonly #callers: Callers;
  #service: QueueService | undefined;
  #reign: Reign | undefined;
  #stopped = false;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#ownership = new Ownership({ ...options, broker: options.name });
    this.#transitions = compileTable();
    const faults = checkTable(this.#transitions);
    if (faults.length > 0)
      throw new Error(`the transition table and the machine disagree: ${faults.join('; ')}`);
    this.#callers = new Callers({ ...options, unclaimed: (lease) => this.#service?.release(lease) });
  }

  /** Opens what is shared, and takes the partitions if they are free; a stand-in returns without them. */
  async start(): Promise<void> {
    await this.#ownership.open();
    const first = this.#reignOnce();
    // A stand-in is ready too: it waits for its turn. Whoever finds the lease free is ready when it serves.
    await Promise.race([first, sleep(this.#options.clock, standInAfterMs)]);
    void this.#keepReigning(first);
  }

  async drain(): Promise<void> {
    this.#stopped = true;
    const reign = this.#reign;
    this.#reign = undefined;
    for (const subscription of reign?.subscriptions ?? []) subscription.unsubscribe();
    await Promise.all((reign?.readers ?? []).map((reader) => reader.stop()));
    await Promise.all((reign?.partitions ?? []).map((partition) => partition.drain()));
    await this.#ownership.release();
  }

  async #keepReigning(first: Promise<void>): Promise<void> {
    let reign = first;
    while (!this.#stopped) {
      try {
        await reign;
        return;
      } catch (error) {
        this.#options.ending.fail(error instanceof Error ? error : new Error(String(error)));
      }
      reign = this.#reignOnce();
    }
  }

  /** Waits for the lease, takes every partition, and begins to serve. */
  async #reignOnce(): Promise<void> {
    const owned = await this.#ownership.acquire(() => void this.#giveUp('the lease was taken'));
    if (!owned || this.#stopped) return;
    try {
      this.#reign = await this.#takePartitions();
    } catch (error) {
      if (!(error instanceof FencedError)) throw error;
      this.#options.log.warn({ err: error }, 'another broker took a partition first');
      this.#ownership.forget();
      await this.#reignOnce();
      return;
    }
    this.#options.log.info({ partitions: this.#options.partitions }, 'owns the partitions and serves');
  }

  async #takePartitions(): Promise<Reign> {
    const { nats, subjects, streams, clock, log } = this.#options;
    const ingest = {
      ...this.#options,
      bytesMax: this.#options.logBytesMax,
      nats,
      subjects,
      streams,
      clock,
      log,
    };
    const identity = await ensureIngestStream(ingest);
    const partitions = await Promise.all(
      Array.from({ length: this.#options.partitions }, (_, number) => this.#takePartition(number)),
    );
    const service = new QueueService({
      subjects,
      partitions,
      callers: this.#callers,
      clock,
      observer: this.#options.observer,
      statistics: this.#statistics,
    });
    this.#service = service;
    const readers = partitions.map(
      (partition, number) => new IngestReader(ingest, partition, number, identity),
    );
    for (const reader of readers) void reader.run();
    const group = { queue: brokerGroup };
    const subscriptions = [
      subscribe(nats, subjects.queueAll, group, (message) => service.receive(message)),
      subscribe(nats, subjects.queueStats, group, (message) => service.receiveOverall(message, 'stats')),
      subscribe(nats, subjects.queueList, group, (message) => service.receiveOverall(message, 'list')),
    ];
    await nats.connection.flush();
    return { partitions, readers, subscriptions };
  }

  async #takePartition(number: number): Promise<Partition> {
    const { clock, log, name, data, random01 } = this.#options;
    const records = await JetStreamLog.open({
      ...this.#options,
      partition: number,
      bytesMax: this.#options.logBytesMax,
    });
    const store = new LmdbStore(join(data, `partition-${number}`));
    const shared = { partition: number, clock, log, records, store };
    const recovered = await recoverPartition({
      ...shared,
      broker: name,
      transitions: this.#transitions,
      retention: defaultRetention,
    });
    return new Partition({
      ...shared,
      ...recovered,
      random01,
      announce: (partition, events, at) => this.#announce(partition, events, at),
      appended: (durationMs, facts) => this.#options.observer.appended(durationMs, facts),
      lost: (error) => void this.#giveUp(error),
    });
  }

  /** Stops serving what is lost; rows and log are read again before it is served again. */
  async #giveUp(reason: unknown): Promise<void> {
    const reign = this.#reign;
    if (reign === undefined || this.#stopped) return;
    this.#reign = undefined;
    this.#service = undefined;
    this.#options.log.warn({ err: reason }, 'gives the partitions up');
    for (const subscription of reign.subscriptions) subscription.unsubscribe();
    this.#ownership.forget();
    await Promise.all(reign.readers.map((reader) => reader.stop()));
    await Promise.all(reign.partitions.map((partition) => partition.abandon()));
    await this.#keepReigning(this.#reignOnce());
  }

  /** Live events: one message per queue, state and commit; never a payload, result or error. */
  #announce(partition: number, events: readonly StateEvent[], at: number): void {
    this.#statistics.add(events, at);
    this.#options.observer.changed(events);
    const { nats, subjects } = this.#options;
    const bySubject = new Map<string, object[]>();
    for (const { order, queue, state, band, attempt } of events) {
      const subject = subjects.queueEvents(queue, state);
      const list = bySubject.get(subject) ?? [];
      bySubject.set(subject, list);
      list.push({ id: itemId(partition, order), priority: priorities[band], attempt, at: formatTime(at) });
    }
    for (const [subject, list] of bySubject) nats.connection.publish(subject, encode(list, json));
  }
}

/** A broker that has not got the lease by then stands in for the one that has it. */
const standInAfterMs = 5_000;
