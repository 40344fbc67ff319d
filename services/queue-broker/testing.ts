import { type StopOptions, Trivet } from '#shared/client/client.ts';
import { LocalLeaseKeeper } from '#shared/client/local-lease-keeper.ts';
import type { ListOptions } from '#shared/client/queue.ts';
import { durationMs } from '#shared/protocol/durations.ts';
import { TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import type { QueueItem } from '#shared/protocol/queue-schemas.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { timeMs } from '#shared/protocol/times.ts';
import { createLog } from '#shared/runtime/log.ts';
import { Loopback } from '#shared/runtime/loopback.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import { MemoryBroker } from './memory-broker.ts';
import { QuietWatch } from './quiet-watch.ts';

// `trivet/testing`: the broker's own code and the client's own code with memory between them. It belongs to the
// service, since only a service may use its insides, and users import it instead of asking a broker over NATS.

export interface TestOptions {
  /** The time at which it begins. Default: now. */
  readonly now?: Date | string | number | undefined;
}

export interface TestClock {
  /** Time as the queues have it. */
  now(): Date;
  /**
   * Lets time pass, such as "90s" or "1h": delays, back-offs, leases, time-outs and schedules come due in their order,
   * each at its moment. What they set off is finished before more time passes, unless it waits for the world outside.
   */
  advance(duration: string | number): Promise<void>;
}

export interface WaitLimit {
  /** How long it may take by the clock on the wall, such as "4s" (default): handlers may wait for the world outside. */
  readonly timeout?: string | number;
}

/** What a test has beside the client. */
export interface TestControls {
  readonly clock: TestClock;
  /**
   * Resolves once no item is ready and none runs. Time stands still meanwhile: what is delayed stays so.
   * Rejects when something is ready and nobody takes it, or when a handler takes longer than `timeout`.
   */
  idle(options?: WaitLimit): Promise<void>;
  /**
   * As `idle`, and lets as much time pass as it takes until nothing is delayed or waits for its next attempt either.
   * Rejects as `idle` does, once a day has passed without a change.
   */
  drain(options?: WaitLimit): Promise<void>;
  /** Throws `unavailable`: the cache is not part of it. */
  cache(): never;
  /** Every item of a queue, in the order in which they were added. */
  items(queue: string, options?: Omit<ListOptions, 'limit' | 'cursor'>): Promise<readonly QueueItem[]>;
  /** As that of a client, and ends the queues. With `timeout` that much time passes for the handlers. */
  close(options?: StopOptions): Promise<void>;
}

/** A client, and the queues that it speaks to. */
export type TestTrivet = Trivet & TestControls;

/** What an aborted handler has to notice it, and some more. */
const stopGraceMs = 2_000;

/**
 * Queues in memory for tests: the surface of `connect()`, no nats-server, no disk, no network, and time that stands
 * still until `clock.advance`. Retries wait the longest that their jitter allows, so that a test does not depend on
 * luck. The cache and telemetry are not part of it: what is asked of them is `unavailable`.
 * Throws a `TrivetError` `invalid_request` when `now` is not a time.
 */
export async function testTrivet(options: TestOptions = {}): Promise<TestTrivet> {
  const clock = new ManualClock(startOf(options.now));
  const loopback = new Loopback(clock);
  const prefix = 'trivet';
  const broker = await MemoryBroker.start({
    nats: loopback.connect(),
    subjects: subjectsFor(prefix),
    clock,
    log: createLog('trivet-testing', 'error'),
    random01: () => 1 - Number.EPSILON,
  });
  const nats = loopback.connect();
  const keeper = new LocalLeaseKeeper(nats, clock);
  const trivet = new Trivet({ nats, clock, keeper, prefix, name: 'trivet-testing' });
  const settle = () => loopback.settled();
  const quiet = new QuietWatch({ broker, clock, settle });
  const closeClient = trivet.close.bind(trivet);
  return Object.assign(trivet, {
    clock: {
      now: () => new Date(clock.nowMs()),
      advance: async (duration) => clock.advance(checkedMs('duration', duration), settle),
    },
    idle: async ({ timeout = '4s' } = {}) => quiet.idle(checkedMs('timeout', timeout)),
    drain: async ({ timeout = '4s' } = {}) => quiet.drain(checkedMs('timeout', timeout)),
    items: async (queue, filter = {}) => {
      const items = [];
      for await (const item of trivet.queue(queue).items(filter)) items.push(item);
      return items;
    },
    cache: () => {
      throw new TrivetError(refuse('unavailable', 'the cache is not part of trivet/testing').error);
    },
    close: async (stop = {}) => {
      const closing = closeClient(stop);
      if (stop.timeout !== undefined)
        await clock.advance(checkedMs('timeout', stop.timeout) + stopGraceMs, settle);
      await closing;
      await broker.stop();
      clock.clear();
    },
  } satisfies TestControls);
}

function startOf(now: Date | string | number = Date.now()): number {
  const ms = timeMs(now instanceof Date ? now.getTime() : now);
  if (ms === undefined) throw refused('now', 'must be a Date, RFC 3339 or epoch milliseconds');
  return ms;
}

function checkedMs(field: string, duration: string | number): number {
  const ms = durationMs(duration);
  if (ms === undefined) throw refused(field, 'must be a duration such as "90s" or "1h"');
  return ms;
}

const refused = (field: string, problem: string) => new TrivetError(refuseField(field, problem).error);
