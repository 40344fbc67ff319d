import { durationMs } from '#shared/protocol/durations.ts';
import type { Refusal } from '#shared/protocol/errors.ts';
import { keyLengthMax, leaseMsMax, leaseMsMin } from '#shared/protocol/limits.ts';
import { isName } from '#shared/protocol/names.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { refuseUnknown, reject, requireLayers } from './client-options.ts';
import { failureOf } from './handler-errors.ts';
import type { IncomingJob, Job } from './job.ts';
import type { Middleware } from './middleware.ts';
import type { PayloadSchema } from './payload-schema.ts';

export type Handler<Payload, Result> = (payload: Payload, job: Job<Payload>) => Promise<Result> | Result;

export interface WorkerOptions<Payload = unknown, Result = unknown> {
  /** Handlers that run at once. Default 10. */
  readonly concurrency?: number | undefined;
  /**
   * Most items that are leased ahead of their handlers, so that these do not wait for the broker. Default:
   * `concurrency`. Never more are held than the worker begins in some 100 ms at its present pace, so a worker with
   * slow handlers holds none, whatever this says.
   */
  readonly prefetch?: number | undefined;
  /** How long the broker waits for a sign of life, such as "30s" (default). Renewed at a third of it, by a thread. */
  readonly lease?: string | number | undefined;
  /** Shown on the item's attempts and in the registry of workers (`queue.workers`). Default: none. */
  readonly name?: string | undefined;
  /** Payloads that do not fit fail for good, with an error of the type `invalid_payload`; what fits is what it makes of them. */
  readonly schema?: PayloadSchema<unknown, Payload> | undefined;
  /** Layers around schema and handler, the outermost first. */
  readonly middleware?: readonly Middleware<IncomingJob, Result>[] | undefined;
  /**
   * Hears of what went wrong beside the handler: a lost lease, a broker that does not answer, an outcome that was
   * refused. The worker goes on by itself. Default: a Node.js warning, at most one in ten seconds for each kind.
   */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** A worker's options, checked and complete. */
export interface WorkerSettings {
  readonly concurrency: number;
  readonly prefetch: number;
  readonly leaseMs: number;
  readonly name: string | undefined;
  readonly onError: (error: Error) => void;
}

const optionNames = ['concurrency', 'prefetch', 'lease', 'name', 'schema', 'middleware', 'onError'];

/** More handlers at once than this is a slip: each holds memory, and a lease. */
const concurrencyMax = 100_000;

/** Throws a `TrivetError` `invalid_request` that names the option. */
export function settingsOf<Payload, Result>(
  queue: string,
  handler: unknown,
  options: WorkerOptions<Payload, Result>,
): WorkerSettings {
  refuseUnknown(options, optionNames);
  requireLayers(options);
  if (typeof handler !== 'function') reject('handler', 'must be a function');
  const { concurrency = 10, name } = options;
  if (!isName(queue)) reject('queue', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -');
  requireWhole('concurrency', concurrency, 1);
  const prefetch = options.prefetch ?? concurrency;
  requireWhole('prefetch', prefetch, 0);
  const leaseMs = durationMs(options.lease ?? '30s');
  if (leaseMs === undefined || leaseMs < leaseMsMin || leaseMs > leaseMsMax)
    reject('lease', 'must be a duration of 100 ms to one day, such as "30s"');
  if (name !== undefined && (name === '' || name.length > keyLengthMax))
    reject('name', `must be 1 to ${keyLengthMax} characters`);
  const { onError } = options;
  if (onError !== undefined && typeof onError !== 'function') reject('onError', 'must be a function');
  return {
    concurrency,
    prefetch,
    leaseMs,
    name,
    onError: onError === undefined ? warner(queue) : guarded(queue, onError),
  };
}

/** A listener that throws must not end what it listens to: the worker goes on, and Node.js warns of it. */
function guarded(queue: string, onError: (error: Error) => void): (error: Error) => void {
  const warn = warner(queue);
  return (error) => {
    try {
      onError(error);
    } catch (thrown) {
      warn(new Error(`onError itself has thrown: ${failureOf(thrown).message}`));
    }
  };
}

function requireWhole(field: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least && value <= concurrencyMax) return;
  reject(field, `must be an integer from ${least} to ${concurrencyMax}`);
}

const warningMs = 10_000;

/** Nothing is swallowed: what nobody asked to hear goes to stderr, the way Node.js warns, but not in a flood. */
function warner(queue: string): (error: Error) => void {
  const warnedAt = new Map<string, number>();
  return (error) => {
    const kind: string = (error as Partial<Refusal>).code ?? error.name;
    const nowMs = systemClock.monotonicMs();
    if (nowMs - (warnedAt.get(kind) ?? -warningMs) < warningMs) return;
    warnedAt.set(kind, nowMs);
    process.emitWarning(`worker of ${queue}: ${error.message}`, 'TrivetWarning');
  };
}
