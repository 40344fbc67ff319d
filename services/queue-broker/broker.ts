import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { kvLeaseRecord } from '#shared/runtime/kv-lease-record.ts';
import type { Ending } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type Nats, type Subscription, endSubscriptions } from '#shared/runtime/nats.ts';
import { OwnerLease } from '#shared/runtime/owner-lease.ts';
import { defaultSettings } from './core/queue-settings.ts';
import { type TransitionTable, checkTable, compileTable } from './core/transition-table.ts';
import { FlowOutbox } from './flow-outbox.ts';
import { IngestReader, checkIngestReach, checkIngestStream, ensureIngestStream } from './ingest-reader.ts';
import { JetStreamLog } from './jetstream-log.ts';
import { type LogKeeping, keepLogs } from './log-keeping.ts';
import { ObjectSnapshots } from './object-snapshots.ts';
import { type MessageRoom, messageRoom } from './message-room.ts';
import type { Observer } from './observation.ts';
import { recoverPartition } from './partition-recovery.ts';
import { FencedError } from './partition-log.ts';
import { Partition } from './partition.ts';
import { QueueServing, brokerGroup } from './queue-serving.ts';
import type { TableStores } from './table-stores.ts';

export interface BrokerOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly name: string;
  /** This run of the process of that name. */
  readonly instance: string;
  readonly tables: TableStores;
  readonly partitions: number;
  readonly replicas: number;
  readonly logBytesMax: number;
  /** Of one item. */
  readonly payloadBytesMax: number;
  readonly snapshotIntervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
  readonly random01: () => number;
  readonly ending: Ending;
}

/** What this broker holds while it owns the partitions. */
interface Ownership {
  readonly partitions: readonly Partition[];
  readonly readers: readonly IngestReader[];
  readonly subscriptions: readonly Subscription[];
  readonly logs: LogKeeping;
  readonly flows: FlowOutbox;
}

/** A broker: takes the partitions when it may, serves them, gives them up when it must, and tries again. */
export class Broker {
  readonly #options: BrokerOptions;
  readonly #lease: OwnerLease;
  readonly #serving: QueueServing;
  readonly #transitions: TransitionTable;
  #owned: Ownership | undefined;
  /** The taking or giving up that is under way; they never overlap. */
  #change: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: BrokerOptions) {
    this.#options = options;
    const { nats, streams, replicas, clock, log } = options;
    this.#lease = new OwnerLease({
      record: kvLeaseRecord(nats, { bucket: streams.leases, replicas }),
      clock,
      self: { node: options.name, instance: options.instance },
      leaseMs,
      gained: () => this.#takeOver(),
      lost: (by) => this.#giveUp(new Error(`the lease was taken by ${by?.node ?? 'nobody'}`)),
      failed: (error) => log.warn({ err: error }, 'asking for the lease failed, trying again'),
    });
    this.#transitions = compileTable();
    const faults = checkTable(this.#transitions);
    if (faults.length > 0)
      throw new Error(`the transition table and the machine disagree: ${faults.join('; ')}`);
    this.#serving = new QueueServing(options);
  }

  /** Takes the partitions if they are free; a stand-in returns without them, and takes them when they become so. */
  async start(): Promise<void> {
    await checkIngestStream(this.#options);
    await this.#lease.start();
    await this.#change;
  }

  async drain(): Promise<void> {
    this.#stopped = true;
    this.#options.tables.hurry(drainedStoresMs);
    await this.#change;
    const owned = this.#owned;
    this.#owned = undefined;
    await endSubscriptions(owned?.subscriptions ?? [], this.#options.clock);
    owned?.flows.stop();
    await Promise.all((owned?.readers ?? []).map((reader) => reader.stop()));
    await owned?.logs.stop();
    await Promise.all((owned?.partitions ?? []).map((partition) => partition.drain()));
    await this.#lease.release();
  }

  /** Begins to take the partitions; a failure that nothing here can answer ends the process. */
  #takeOver(): void {
    this.#change = this.#change
      .then(() => this.#beginOwnership())
      .catch((error: unknown) => {
        this.#options.ending.fail(error instanceof Error ? error : new Error(String(error)));
      });
  }

  /** Takes every partition and begins to serve. Tries again for as long as the lease says that it should. */
  async #beginOwnership(): Promise<void> {
    while (!this.#stopped && this.#owned === undefined && this.#lease.holds()) {
      try {
        this.#owned = await this.#takePartitions();
        this.#options.log.info({ partitions: this.#options.partitions }, 'owns the partitions and serves');
      } catch (error) {
        if (!(error instanceof FencedError)) throw error;
        this.#options.log.warn({ err: error }, 'another broker took a partition first, trying again');
        await sleep(this.#options.clock, retryMs);
      }
    }
  }

  async #takePartitions(): Promise<Ownership> {
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
    const flows = new FlowOutbox({ clock, log });
    const partitions = await this.#takeEach(flows);
    const readers = partitions.map(
      (partition, number) => new IngestReader(ingest, partition, number, identity),
    );
    for (const reader of readers) void reader.run();
    const { courier, subscriptions } = this.#serving.serve(partitions);
    flows.begin(courier);
    const logs = keepLogs({
      ...this.#options,
      partitions: partitions.map((partition, number) => ({
        number,
        partition,
        snapshots: this.#snapshotsOf(number),
      })),
      ingest: readers,
      group: brokerGroup,
      lost: (error) => this.#giveUp(error),
    });
    await nats.connection.flush();
    // Whoever waits for the answer of a broker that is no more waits in vain, and asks again when he hears of this one.
    nats.connection.publish(subjects.queueBrokerEvents, encode({ broker: this.#options.name }, json));
    return { partitions, readers, subscriptions, logs, flows };
  }

  /** All partitions, or none: those that were taken are let go when one cannot be. */
  async #takeEach(flows: FlowOutbox): Promise<readonly Partition[]> {
    const numbers = Array.from({ length: this.#options.partitions }, (_, number) => number);
    const taken = await Promise.allSettled(numbers.map((number) => this.#takePartition(number, flows)));
    const partitions = taken.filter((one) => one.status === 'fulfilled').map((one) => one.value);
    const failure = taken.find((one) => one.status === 'rejected');
    try {
      if (failure !== undefined) throw failure.reason;
      // Asked when all are taken: until then a former owner may read on.
      await checkIngestReach(this.#options, partitions);
      return partitions;
    } catch (error) {
      await Promise.all(partitions.map((partition) => partition.abandon()));
      throw error;
    }
  }

  async #takePartition(number: number, flows: FlowOutbox): Promise<Partition> {
    const { clock, log, name, tables, random01 } = this.#options;
    const records = await JetStreamLog.open({
      ...this.#options,
      partition: number,
      bytesMax: this.#options.logBytesMax,
    });
    const store = await tables.open(number, records);
    const shared = { partition: number, broker: name, clock, log, records, store };
    const recovered = await recoverPartition({
      ...shared,
      snapshots: this.#snapshotsOf(number),
      transitions: this.#transitions,
      defaults: {
        ...defaultSettings,
        payloadBytesMax: Math.min(this.#options.payloadBytesMax, this.#room().payloadBytesMax),
      },
    });
    return new Partition({
      ...shared,
      ...recovered,
      random01,
      ...this.#serving.hooks,
      room: () => this.#room(),
      outgoing: (partition, outgoing) => flows.note(partition, outgoing),
      holds: () => this.#lease.holds(),
      lost: (error) => this.#giveUp(error),
    });
  }

  #room(): MessageRoom {
    return messageRoom(this.#options.nats.connection.info?.max_payload);
  }

  #snapshotsOf(partition: number): ObjectSnapshots {
    return new ObjectSnapshots({ ...this.#options, partition });
  }

  /** Stops serving what is lost; while the lease is ours, rows and log are read again and it is served again. */
  #giveUp(reason: unknown): void {
    const owned = this.#owned;
    if (owned === undefined || this.#stopped) return;
    this.#owned = undefined;
    this.#serving.end();
    this.#options.log.warn({ err: reason }, 'gives the partitions up');
    void endSubscriptions(owned.subscriptions, this.#options.clock);
    this.#options.tables.hurry(lostStoresMs);
    this.#change = this.#change.then(() => letGo(owned));
    this.#takeOver();
  }
}

async function letGo(owned: Ownership): Promise<void> {
  owned.flows.stop();
  await Promise.all(owned.readers.map((reader) => reader.stop()));
  await owned.logs.stop();
  await Promise.all(owned.partitions.map((partition) => partition.abandon()));
}

/** A lease that its owner has not renewed for this long is free. */
const leaseMs = 2_500;
/** How long a store that does not answer may hold up the end of an ownership: the log has everything. */
const drainedStoresMs = 4_000;
const lostStoresMs = 1_000;
/** Between two tries to take a partition that somebody else has just taken. */
const retryMs = 500;
