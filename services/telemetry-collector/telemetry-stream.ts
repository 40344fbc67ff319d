import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import type { Log } from '#shared/runtime/log.ts';
import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  type Nats,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
  onDisconnect,
} from '#shared/runtime/nats.ts';
import { withRoom } from '#shared/runtime/stream-room.ts';
import type { StoredMessages } from './collector-service.ts';
import type { Backlog, Inbox, Position, PullHandlers } from './inbox.ts';
import { PullRequests } from './pull-requests.ts';

/** The one consumer that all collectors share. */
export const consumerName = 'collectors';

export interface TelemetryStreamOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly replicas: number;
  readonly streamBytesMax: number;
  readonly deadBytesMax: number;
  readonly ackWaitMs: number;
  /** Ends the process: what it has marked as counted are messages of a stream that is no more. */
  readonly fail: (error: Error) => void;
  readonly clock: Clock;
  readonly log: Log;
}

// Dead letters are looked at by people: two weeks cover a holiday.
const deadAgeMsMax = 14 * 86_400_000;

// Deliveries that all collectors together may hold: five busy ones, each at its own limit.
export const ackPendingMax = 20_000;

// Pause after a pull that the server refused.
const pauseMs = 500;

const nanosPerMs = 1_000_000;

/** The stream of records, its consumer, and the stream of dead letters. */
export class TelemetryStream implements Inbox, StoredMessages {
  readonly #options: TelemetryStreamOptions;
  #manager: JetStreamManager | undefined;
  #identity: string | undefined;
  #requests: PullRequests | undefined;
  #stopped = false;

  constructor(options: TelemetryStreamOptions) {
    this.#options = options;
  }

  /** Makes what is missing and checks what is there. @returns what tells this stream from a later one of its name */
  async prepare(): Promise<string> {
    const { nats, streams, subjects, replicas, streamBytesMax, deadBytesMax, ackWaitMs } = this.#options;
    this.#manager = await nats.manager();
    this.#identity = await ensureStream(this.#manager, 'TRIVET_TELEMETRY_BYTES_MAX', {
      name: streams.telemetry,
      subjects: [subjects.telemetryAll, subjects.otlpAll],
      // A message leaves the stream when it is acknowledged: what is in it is what is still to be done.
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_bytes: streamBytesMax,
      num_replicas: replicas,
    });
    await ensureStream(this.#manager, 'TRIVET_TELEMETRY_DEAD_BYTES_MAX', {
      name: streams.telemetryDead,
      subjects: [subjects.telemetryDead],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_bytes: deadBytesMax,
      max_age: deadAgeMsMax * nanosPerMs,
      num_replicas: replicas,
    });
    await ensureConsumer(this.#manager, streams.telemetry, {
      durable_name: consumerName,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: ackWaitMs * nanosPerMs,
      max_ack_pending: ackPendingMax,
      max_deliver: -1,
    });
    return this.#identity;
  }

  async pull({ room, onDelivery, onInterruption, onResumption }: PullHandlers): Promise<void> {
    const { nats, streams, clock, log } = this.#options;
    let isInterrupted = false;
    const requests = new PullRequests({
      nats,
      stream: streams.telemetry,
      consumer: consumerName,
      clock,
      onDelivery,
    });
    this.#requests = requests;
    const interrupt = () => {
      isInterrupted = true;
      onInterruption();
    };
    const stopWatching = onDisconnect(nats, () => {
      interrupt();
      requests.interrupt();
    });
    let failing = false;
    while (!this.#stopped) {
      const wanted = await room();
      while (isInterrupted && !this.#stopped) {
        isInterrupted = false;
        await onResumption().catch(async () => {
          isInterrupted = true;
          await sleep(clock, pauseMs);
        });
      }
      if (this.#stopped) break;
      const end = await requests.request(wanted);
      const failed = end !== 'done';
      if (failed && end !== 'disconnected') interrupt();
      if (failed && !failing) log.warn({ end }, 'records cannot be pulled; trying again');
      if (failed) await sleep(clock, pauseMs);
      failing = failed;
    }
    stopWatching();
  }

  stop(): void {
    this.#stopped = true;
    this.#requests?.stop();
  }

  async bodyOf(sequence: number): Promise<Uint8Array> {
    const { nats, streams, clock, log } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.#manager ??= await nats.manager();
        const message = await this.#manager.streams.getMessage(streams.telemetry, { seq: sequence });
        return message?.data ?? new Uint8Array();
      } catch (error) {
        if (error instanceof JetStreamApiError && error.status === 404) return new Uint8Array();
        if (attempt === 1) log.warn({ err: error, sequence }, 'a message cannot be read again; trying again');
        await sleep(clock, pauseMs);
      }
    }
  }

  async position(): Promise<Position> {
    const [info, { state }] = await this.#infos();
    return { deliveredThrough: info.delivered.stream_seq, lastSequence: state.last_seq };
  }

  /** What waits in the stream. */
  async backlog(): Promise<Backlog> {
    const { clock } = this.#options;
    const [info, { state }] = await this.#infos();
    // A message leaves the stream when it is acknowledged: the first one is the oldest that is not.
    const firstMs = state.messages === 0 ? Number.NaN : Date.parse(state.first_ts);
    return {
      ageMs: Number.isNaN(firstMs) ? 0 : Math.max(0, Math.round(clock.nowMs() - firstMs)),
      waiting: info.num_pending,
      unacknowledged: info.num_ack_pending,
      redelivered: info.num_redelivered,
      acknowledgedThrough: info.ack_floor.stream_seq,
    };
  }

  async #infos() {
    this.#manager ??= await this.#options.nats.manager();
    const { fail, streams } = this.#options;
    const [consumer, stream] = await Promise.all([
      this.#manager.consumers.info(streams.telemetry, consumerName),
      this.#manager.streams.info(streams.telemetry),
    ]);
    if (this.#identity !== undefined && identityOf(stream) !== this.#identity) {
      // It counts from 1 again: its messages would be taken for those of the former one, and not be counted.
      const error = new Error(`the stream ${streams.telemetry} is another one than at the start`);
      fail(error);
      throw error;
    }
    return [consumer, stream] as const;
  }
}

type WantedConsumer = Parameters<JetStreamManager['consumers']['add']>[1];
type WantedStream = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects'>;

/**
 * Creates the stream, or brings its limits up to date; refuses one that works in another way.
 * @param setting what sets how large it may become
 */
async function ensureStream(
  manager: JetStreamManager,
  setting: string,
  wanted: WantedStream,
): Promise<string> {
  const existing = await found(() => manager.streams.info(wanted.name));
  const info = await withRoom({ name: wanted.name, bytesMax: wanted.max_bytes, setting }, () =>
    existing === undefined
      ? manager.streams.add(wanted)
      : manager.streams.update(wanted.name, { ...existing.config, ...mutable(wanted) }),
  );
  for (const name of ['retention', 'storage', 'discard'] as const) {
    if (info.config[name] === wanted[name]) continue;
    throw new StartRefused(
      exitCodes.usage,
      `the stream ${wanted.name} has ${name} ${info.config[name]}; it must be ${wanted[name]}`,
    );
  }
  return identityOf(info);
}

const identityOf = ({ config, created }: StreamInfo): string => `${config.name} ${created}`;

const mutable = ({ subjects, max_bytes, max_age, num_replicas }: WantedStream): Partial<StreamConfig> => ({
  subjects,
  ...(max_bytes === undefined ? {} : { max_bytes }),
  ...(max_age === undefined ? {} : { max_age }),
  ...(num_replicas === undefined ? {} : { num_replicas }),
});

/** Creates the consumer, or brings its limits up to date. */
async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  wanted: WantedConsumer,
): Promise<void> {
  const existing = await found(() => manager.consumers.info(stream, consumerName));
  if (existing === undefined) await manager.consumers.add(stream, wanted);
  else await manager.consumers.update(stream, consumerName, wanted);
}

/** What `ask` finds; undefined where it is not there. */
async function found<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof JetStreamApiError && error.status === 404) return undefined;
    throw error;
  }
}
