import { durationMs } from '#shared/protocol/durations.ts';
import { TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import type { QueueItem } from '#shared/protocol/queue-schemas.ts';
import { expiredMessage } from '#shared/protocol/queue-words.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { QueueChannel } from './queue-channel.ts';
import { briefPause, isTransient } from './asked-again.ts';

/** One question waits this long: a broker that went away with it is noticed soon after. */
const waitOnceMs = 15_000;

export interface WaitOptions {
  /** Such as "5m". Default: for ever. */
  readonly timeout?: string | number | undefined;
  /** Ends the waiting; the item goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** The item that was waited for has ended, and not well: `failed` or `cancelled`. */
export class ItemNotDone extends Error {
  readonly item: QueueItem;

  constructor(item: QueueItem) {
    const reason = reasonOf(item);
    super(
      `item ${item.id} ${item.state === 'failed' ? 'has failed' : 'was cancelled'}${reason === undefined ? '' : `: ${reason}`}`,
    );
    this.name = 'ItemNotDone';
    this.item = item;
  }
}

/** What the last attempt left is why it failed, unless it ended while it waited for another one. */
function reasonOf({ state, attempts, transitions }: QueueItem): string | undefined {
  if (state === 'cancelled') return undefined;
  if (transitions.at(-1)?.why === 'expired') return expiredMessage;
  return attempts.at(-1)?.error?.message;
}

/**
 * Waits until an item is final.
 * @returns its result. Rejects with `ItemNotDone` when it failed or was cancelled, with the signal's reason, or with a
 *   `TrivetError`: `timeout` when the time is over, `not_found` when there is no such item (any more)
 */
export async function waitForResult(
  channel: QueueChannel,
  id: string,
  options: WaitOptions = {},
): Promise<unknown> {
  const { signal } = options;
  signal?.throwIfAborted();
  const waiting = { ended: false };
  const result = askUntilFinal(channel, id, waiting, deadlineOf(channel.clock, options.timeout));
  if (signal === undefined) return result;
  return new Promise((resolve, reject) => {
    const abort = () => {
      waiting.ended = true;
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

async function askUntilFinal(
  channel: QueueChannel,
  id: string,
  waiting: { readonly ended: boolean },
  deadlineMs: number,
): Promise<unknown> {
  const { clock } = channel;
  while (!waiting.ended) {
    const leftMs = Math.max(0, deadlineMs - clock.monotonicMs());
    const item = await askOnce(channel, id, Math.min(waitOnceMs, Math.ceil(leftMs)));
    if (item?.state === 'done') return item.result;
    if (item?.state === 'failed' || item?.state === 'cancelled') throw new ItemNotDone(item);
    if (clock.monotonicMs() >= deadlineMs)
      throw new TrivetError(refuse('timeout', `item ${id} was not final in time`).error);
    // Nobody will ever answer on a connection that was closed for good.
    if (item === undefined && channel.nats.connection.isClosed())
      throw new TrivetError(refuse('unavailable', 'the connection was closed').error);
    if (item === undefined) await briefPause(clock);
  }
  return undefined;
}

/** Undefined when nobody answered, or another broker is to be asked: one that is away comes back. */
async function askOnce(channel: QueueChannel, id: string, waitMs: number): Promise<QueueItem | undefined> {
  const anew = Promise.withResolvers<undefined>();
  const stop = channel.brokers.onNew(() => anew.resolve(undefined));
  try {
    const asked = channel.ask<QueueItem>('result', { id, wait: waitMs }, { timeoutMs: waitMs + 5_000 });
    return await Promise.race([asked, anew.promise]);
  } catch (error) {
    if (error instanceof TrivetError && isTransient(error)) return undefined;
    throw error;
  } finally {
    stop();
  }
}

function deadlineOf(clock: Clock, timeout: string | number | undefined): number {
  if (timeout === undefined) return Number.POSITIVE_INFINITY;
  const ms = durationMs(timeout);
  if (ms === undefined) throw new TrivetError(refuseField('timeout', 'is not a duration such as "5m"').error);
  return clock.monotonicMs() + ms;
}
