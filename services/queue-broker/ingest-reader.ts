import { refuseField } from '#shared/protocol/errors.ts';
import { isName } from '#shared/protocol/names.ts';
import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import type { Log } from '#shared/runtime/log.ts';
import {
  type ConsumerMessages,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  type JsMsg,
  type Nats,
  RetentionPolicy,
  StorageType,
} from '#shared/runtime/nats.ts';
import { identityOf, keepIdentity } from '#shared/runtime/stream-identity.ts';
import { withRoom } from '#shared/runtime/stream-room.ts';
import { type EnqueueRequest, decideEnqueue } from './core/enqueue-decisions.ts';
import type { Turn } from './core/turn.ts';
import { enqueueBytes } from './log-bytes.ts';
import type { Partition } from './partition.ts';
import { type Published, readEnqueue, refusedPublish } from './queue-requests.ts';
import type { Work } from './work.ts';

export interface IngestOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly partitions: number;
  readonly replicas: number;
  readonly bytesMax: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What has been taken in is purged this often. */
const purgeEveryMs = 1_000;
/** The server says this often that it is there. Two missed ones, and the consumer is made again: it died with its server. */
const heartbeatMs = 1_000;
/** Publishes that may be under way into one partition's log. */
const underWayMax = 5_000;

/**
 * Makes the stream that captures plain publishes, or checks the one that is there. Its subject transform adds the
 * partition, by the same hash as ours, so that each owner reads only what is its own.
 * @returns the identity of the stream
 */
export async function ensureIngestStream(options: IngestOptions): Promise<string> {
  const { streams, subjects, partitions, replicas, bytesMax } = options;
  const manager = await options.nats.manager();
  const transform = { src: subjects.jobsAll, dest: subjects.ingestTransform(partitions) };
  const known = await infoOf(manager, streams.ingest);
  const wanted = {
    name: streams.ingest,
    subjects: [subjects.jobsAll],
    subject_transform: transform,
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    num_replicas: replicas,
    max_bytes: bytesMax,
    // The server's window spans all queues, ours is by queue and exact: the shortest that it allows.
    duplicate_window: 100_000_000,
  };
  const sized = { name: streams.ingest, bytesMax, setting: 'TRIVET_LOG_BYTES_MAX' };
  const info = known ?? (await withRoom(sized, () => manager.streams.add(wanted)));
  refuseOtherSorting(streams.ingest, info.config.subject_transform?.dest, transform.dest);
  return keepIdentity(manager, info);
}

/**
 * Makes sure that a broker could take over the cluster that it stands by: what it cannot take it would find out only
 * when it is needed.
 * @throws StartRefused when the cluster was made with another number of partitions
 */
export async function checkIngestStream({
  nats,
  subjects,
  streams,
  partitions,
}: Pick<IngestOptions, 'nats' | 'subjects' | 'streams' | 'partitions'>): Promise<void> {
  const known = await infoOf(await nats.manager(), streams.ingest);
  if (known === undefined) return;
  const { subject_transform: transform } = known.config;
  refuseOtherSorting(streams.ingest, transform?.dest, subjects.ingestTransform(partitions));
}

/**
 * Makes sure that the stream is not an older copy of the one that the logs have read: its next publishes would have
 * numbers that are in the logs already, and pass for taken in.
 */
export async function checkIngestReach(
  { nats, streams }: Pick<IngestOptions, 'nats' | 'streams'>,
  partitions: readonly Pick<Partition, 'table'>[],
): Promise<void> {
  const info = await infoOf(await nats.manager(), streams.ingest);
  if (info === undefined) return;
  const { last_seq: last } = info.state;
  for (const { table } of partitions) {
    const { stream, sequence } = table.applied.ingested;
    if (stream !== identityOf(info) || sequence <= last) continue;
    throw new Error(
      `stream ${streams.ingest} of plain publishes ends at ${last}, and ${sequence} was taken in already: it is an ` +
        `older copy. Restore the right one, or remove it: then it is made anew (docs/operations.md)`,
    );
  }
}

const infoOf = (manager: JetStreamManager, stream: string) =>
  manager.streams.info(stream).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.status === 404) return undefined;
    throw error;
  });

function refuseOtherSorting(stream: string, found: string | undefined, wanted: string): void {
  if (found === wanted) return;
  const [, count] = /partition\((\d+),/.exec(found ?? '') ?? [];
  const way = count === undefined ? '' : `: set TRIVET_PARTITIONS=${count}`;
  throw new StartRefused(
    exitCodes.usage,
    `stream ${stream} sorts publishes by ${found ?? 'nothing'}, not by ${wanted}, and the number of partitions is ` +
      `fixed when the cluster is made${way}`,
  );
}

interface TakenIn {
  readonly published: Published;
  /** In the ingest stream. */
  readonly sequence: number;
}

/** One reading of the stream, from the mark on. */
interface Reading {
  readonly messages: ConsumerMessages;
  /** One of its publishes was not taken in, so none behind it may be: the mark would go past it. */
  hasLeftOut: boolean;
}

/** Reads the plain publishes of one partition, in order, into its log; then purges what is in the log. */
export class IngestReader {
  readonly #options: IngestOptions;
  readonly #partition: Partition;
  readonly #number: number;
  readonly #identity: string;
  #messages: ConsumerMessages | undefined;
  #stopped = false;
  #underWay = 0;
  #purgedUpTo = 0;
  #cancelPurge: (() => void) | undefined;
  #room: (() => void) | undefined;

  constructor(options: IngestOptions, partition: Partition, number: number, identity: string) {
    this.#options = options;
    this.#partition = partition;
    this.#number = number;
    this.#identity = identity;
  }

  /** Reads until it is stopped; a lost connection is waited out. */
  async run(): Promise<void> {
    this.#schedulePurge();
    while (!this.#stopped) {
      try {
        await this.#read();
      } catch (error) {
        if (this.#stopped) return;
        this.#options.log.warn(
          { err: error, partition: this.#number },
          'reading plain publishes failed, trying again',
        );
        await sleep(this.#options.clock, 500);
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPurge?.();
    this.#room?.();
    await this.#messages?.close();
  }

  async #read(): Promise<void> {
    const { nats, streams, subjects } = this.#options;
    const consumer = await nats.js.consumers.get(streams.ingest, {
      filter_subjects: subjects.ingest(this.#number),
      opt_start_seq: this.#mark() + 1,
    });
    const messages = await consumer.consume({ max_messages: 1_000, idle_heartbeat: heartbeatMs });
    this.#messages = messages;
    const reading: Reading = { messages, hasLeftOut: false };
    for await (const message of messages) {
      if (this.#stopped) return;
      await this.#waitForRoom();
      if (reading.hasLeftOut) break;
      this.#underWay += 1;
      this.#partition.submit(this.#workOf(message, reading));
    }
    if (reading.hasLeftOut) throw new Error('there was no room for a plain publish');
  }

  /** Ends a reading: the next one begins with what was left out. */
  #leaveOut(reading: Reading): void {
    if (reading.hasLeftOut) return;
    reading.hasLeftOut = true;
    reading.messages.close().catch(() => undefined);
  }

  /** The last sequence that the log has: of this stream. A stream that was made anew counts from 1 again. */
  #mark(): number {
    const { ingested } = this.#partition.table.applied;
    return ingested.stream === this.#identity ? ingested.sequence : 0;
  }

  #workOf(message: JsMsg, reading: Reading): Work {
    const published = this.#published(message);
    const request = requestOf(published);
    const finished = () => {
      this.#underWay -= 1;
      this.#room?.();
    };
    return {
      bytes: enqueueBytes(request),
      // Whether there is room is asked below, in the turn: what stands behind it in the same turn must know.
      room: 'nothing',
      decide: (turn) => {
        if (!this.#partition.gauge.hasRoom('always')) this.#leaveOut(reading);
        if (!reading.hasLeftOut) this.#takeIn(turn, request, { published, sequence: message.seq });
        return finished;
      },
      // Not decided, so not marked: it is read again, by whoever owns the partition then.
      refuse: () => {
        this.#leaveOut(reading);
        finished();
      },
    };
  }

  #published({ subject, data, headers }: JsMsg): Published {
    const queue = subject.split('.').at(-1) ?? '';
    const { payloadBytesMax } = this.#partition.table.settingsOf(queue);
    return { queue, body: data, headers, payloadBytesMax };
  }

  #takeIn(turn: Turn, request: EnqueueRequest, { published, sequence }: TakenIn): void {
    // A consumer that was made again after a lost connection may begin before what is under way.
    if (sequence <= this.#mark()) return;
    // Durable already, so that a queue which is full takes it in all the same.
    const decided = decideEnqueue(turn, request, true);
    if (!decided.ok) decideEnqueue(turn, refusedPublish(published, decided.error), true);
    turn.emit({ kind: 'ingested', stream: this.#identity, sequence });
  }

  /** Stops reading while too much is under way or the log fills up: what is not read waits safely in NATS. */
  async #waitForRoom(): Promise<void> {
    while (!this.#stopped && (this.#underWay >= underWayMax || !this.#partition.hasRoom)) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
        this.#options.clock.after(100, resolve);
      });
    }
  }

  #schedulePurge(): void {
    this.#cancelPurge = this.#options.clock.after(purgeEveryMs, () => void this.#purgeAgain());
  }

  /** Removes from the stream what the log has. Rejects when NATS does not answer. */
  async purge(): Promise<void> {
    const mark = this.#partition.durableIngestMark(this.#identity);
    if (mark <= this.#purgedUpTo || this.#stopped) return;
    const manager: JetStreamManager = await this.#options.nats.manager();
    await manager.streams.purge(this.#options.streams.ingest, {
      filter: this.#options.subjects.ingest(this.#number),
      seq: mark + 1,
    });
    this.#purgedUpTo = mark;
  }

  async #purgeAgain(): Promise<void> {
    try {
      await this.purge();
    } catch (error) {
      this.#options.log.warn(
        { err: error, partition: this.#number },
        'purging taken-in publishes failed, trying again',
      );
    }
    if (!this.#stopped) this.#schedulePurge();
  }
}

/** What a publish asks for. One that cannot be understood is kept as failed: its publisher has its PubAck. */
function requestOf(published: Published): EnqueueRequest {
  const { queue, body, headers } = published;
  const read = isName(queue) ? readEnqueue(queue, body, headers, false) : badName;
  return read.ok ? read.value : refusedPublish(published, read.error);
}

// NATS lets any token through. Nobody can ask for such a queue, but its figures show that something went wrong.
const badName = refuseField('queue', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -');
