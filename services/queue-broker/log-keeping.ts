import { decode, json } from '#shared/protocol/encoding.ts';
import type { Refusal } from '#shared/protocol/errors.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type Msg, type Nats, onReconnect, subscribe } from '#shared/runtime/nats.ts';
import { replyRefusal, replyValue, requestEncodings } from '#shared/runtime/replies.ts';
import { type CaredFor, LogCompactor } from './log-compactor.ts';
import type { Partition } from './partition.ts';
import { checkGrown } from './table-check.ts';

export interface LogKeepingOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly partitions: readonly CaredFor[];
  /** Where plain publishes stand until the logs have them: what is compacted leaves that place, too. */
  readonly ingest: readonly Ingest[];
  readonly clock: Clock;
  readonly log: Log;
  readonly snapshotIntervalMs: number;
  /** The queue group of the brokers. */
  readonly group: string;
  /** A log is not the one that its table follows: nothing of the partition is to be trusted. */
  readonly lost: (error: unknown) => void;
}

export interface Ingest {
  /** Removes what the log has. */
  purge(): Promise<void>;
}

export interface LogKeeping {
  /** Ends what is under way. Before the partitions end: their rows are being read. */
  stop(): Promise<void>;
}

const checkEmpty = validator(queueRequests.stats);

/** Between two tries to look at a log while NATS comes up again. */
const retryMs = 500;

/** Looks after the logs of owned partitions: keeps them short, and sees to it that they are still the same ones. */
export function keepLogs(options: LogKeepingOptions): LogKeeping {
  const { nats, subjects, group } = options;
  const compactor = new LogCompactor({ ...options, intervalMs: options.snapshotIntervalMs });
  let isStopped = false;
  const subscription = subscribe(nats, subjects.queueCompact, { queue: group }, (message) => {
    void answerCompact(message, compactor, options);
  });
  const cancelWatch = onReconnect(nats, () => {
    for (const { partition } of options.partitions)
      void checkUntilAnswered(partition, options, () => isStopped);
  });
  compactor.start();
  return {
    stop: async () => {
      isStopped = true;
      subscription.unsubscribe();
      cancelWatch();
      await compactor.stop();
    },
  };
}

/** After a lost connection another nats-server may be there, with an older copy of the log. */
async function checkUntilAnswered(
  partition: Partition,
  { clock, log, lost }: LogKeepingOptions,
  isStopped: () => boolean,
): Promise<void> {
  while (!isStopped()) {
    try {
      const fault = await faultOf(partition);
      if (fault !== undefined && !isStopped()) lost(new Error(fault));
      return;
    } catch (error) {
      log.warn({ err: error }, 'the log cannot be looked at after a lost connection, trying again');
      await sleep(clock, retryMs);
    }
  }
}

/** A failure to ask is no reason to give the partition up: it is asked again. */
async function faultOf(partition: Partition): Promise<string | undefined> {
  let checked: Promise<string | undefined> = Promise.resolve(undefined);
  await partition.atRest(async () => {
    checked = checkGrown(partition);
    await checked.catch(() => undefined);
  });
  return checked;
}

async function answerCompact(
  message: Msg,
  compactor: LogCompactor,
  { ingest, log }: LogKeepingOptions,
): Promise<void> {
  const encodings = requestEncodings(message);
  if (!encodings.ok) return replyRefusal(message, encodings.error, json);
  const { request, reply } = encodings.value;
  const body = decode(message.data, request);
  const checked = body.ok ? checkEmpty(body.value ?? {}) : body;
  if (!checked.ok) return replyRefusal(message, checked.error, reply);
  try {
    await compactor.compact();
    await Promise.all(ingest.map((one) => one.purge()));
    replyValue(message, { compacted: true }, reply);
  } catch (error) {
    log.warn({ err: error }, 'compacting failed');
    replyRefusal(message, notCompacted, reply);
  }
}

const notCompacted: Refusal = {
  code: 'unavailable',
  message: 'the logs could not be compacted, ask again: the log of the broker says why',
};
