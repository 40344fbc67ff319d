import { durationMs } from '#shared/protocol/durations.ts';
import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { delayMsMax } from '#shared/protocol/limits.ts';
import { type Owners, ownerHeader, reservedHeader } from '#shared/protocol/owner.ts';
import type { OnDuplicate } from '#shared/protocol/queue-item-options.ts';
import { type EnqueueOptions, priorities } from '#shared/protocol/queue-schemas.ts';
import { timeMs } from '#shared/protocol/times.ts';
import type { Backoff } from './retry-policy.ts';

/** An item's options in the units of the broker. What is absent is the queue's to say. */
export interface ItemOptions {
  readonly band: number;
  readonly attemptsMax?: number;
  readonly backoff?: Backoff;
  readonly delayMs?: number;
  readonly runAt?: number;
  readonly timeoutMs?: number;
  readonly expiresMs?: number;
  readonly group?: string;
  readonly key?: string;
  /** Default: keep. */
  readonly onDuplicate?: OnDuplicate;
  readonly headers?: Readonly<Record<string, string>>;
}

const defaultBand = priorities.indexOf('normal');

/** Of an item for which nothing was asked. */
export const noOptions: ItemOptions = { band: defaultBand };

/** As `readItemOptions`, of an item that somebody enqueues: his headers say nothing of ours, and `owners` whose it is. */
export function readEnqueueOptions(options: EnqueueOptions, owners: Owners): Result<ItemOptions> {
  const reserved = reservedHeader(options.headers, owners);
  if (reserved !== undefined) return refuseField(`headers.${reserved}`, 'is a name that is not yours to use');
  const read = readItemOptions(options);
  return read.ok ? accept(ownedOptions(read.value, owners)) : read;
}

/** The options of an item that belongs to whom `owners` says. */
export const ownedOptions = (options: ItemOptions, owners: Owners): ItemOptions =>
  typeof owners === 'string'
    ? options
    : { ...options, headers: { ...options.headers, [ownerHeader]: owners.all } };

/** The options that the schema has let through, with the bounds that a schema cannot express. */
export function readItemOptions(options: EnqueueOptions): Result<ItemOptions> {
  if (options.delay !== undefined && options.runAt !== undefined) {
    return refuseField('runAt', 'cannot stand beside delay');
  }
  if (options.onDuplicate !== undefined && options.key === undefined)
    return refuseField('onDuplicate', 'needs a key');
  if (options.onDuplicate === 'debounce' && options.delay === undefined)
    return refuseField('delay', 'is missing: it says how long debounce waits');
  for (const name of ['delay', 'timeout', 'expires'] as const) {
    const given = options[name];
    const ms = given === undefined ? undefined : durationMs(given);
    if (given !== undefined && (ms === undefined || ms > delayMsMax))
      return refuseField(name, 'must be at most ten years');
    if (name !== 'delay' && ms === 0) return refuseField(name, 'must be longer than 0');
  }
  for (const name of ['group', 'key'] as const) {
    // The log is UTF-8, which has no half of a surrogate pair: such a key would be another one after a restart.
    if (options[name]?.isWellFormed() === false) return refuseField(name, 'must be well-formed Unicode');
  }
  const header = options.headers === undefined ? undefined : headerFault(options.headers);
  if (header !== undefined) return { ok: false, error: header };
  const runAt = options.runAt === undefined ? undefined : timeMs(options.runAt);
  if (options.runAt !== undefined && runAt === undefined)
    return refuseField('runAt', 'is not a time that exists');
  const backoff = options.backoff === undefined ? undefined : parseBackoff(options.backoff);
  if (backoff === undefined && options.backoff !== undefined)
    return refuseField('backoff', 'must have a first delay within its cap, of ten years at most');
  return accept(withDefaults(options, backoff, runAt));
}

/** What would end a header where it is written on, and begin another one. */
const lineEnd = /[\r\n\0]/;

function headerFault(headers: Readonly<Record<string, string>>): Refusal | undefined {
  for (const [name, value] of Object.entries(headers)) {
    const text = `${name}: ${value}`;
    if (!text.isWellFormed()) return refuseField(`headers.${name}`, 'must be well-formed Unicode').error;
    if (lineEnd.test(text))
      return refuseField(`headers.${name}`, 'must have no line break and no NUL, in its name neither').error;
  }
  return undefined;
}

function withDefaults(
  options: EnqueueOptions,
  backoff: Backoff | undefined,
  runAt: number | undefined,
): ItemOptions {
  const { maxAttempts, delay, timeout, expires, group, key, onDuplicate, headers } = options;
  return {
    band: options.priority === undefined ? defaultBand : priorities.indexOf(options.priority),
    ...(maxAttempts === undefined ? {} : { attemptsMax: maxAttempts }),
    ...(backoff === undefined ? {} : { backoff }),
    ...(delay === undefined ? {} : { delayMs: durationMs(delay) ?? 0 }),
    ...(runAt === undefined ? {} : { runAt }),
    ...(timeout === undefined ? {} : { timeoutMs: durationMs(timeout) ?? 0 }),
    ...(expires === undefined ? {} : { expiresMs: durationMs(expires) ?? 0 }),
    ...(group === undefined ? {} : { group }),
    ...(key === undefined ? {} : { key }),
    ...(onDuplicate === undefined ? {} : { onDuplicate }),
    ...(headers === undefined ? {} : { headers }),
  };
}

/** `exponential:1s:1h` or `fixed:5s`; undefined when a part is out of range. */
export function parseBackoff(text: string): Backoff | undefined {
  const [kind, first = '', cap = ''] = text.split(':', 3);
  const firstMs = durationMs(first);
  if (firstMs === undefined || firstMs > delayMsMax) return undefined;
  if (kind === 'fixed') return { kind: 'fixed', delayMs: firstMs };
  const capMs = durationMs(cap);
  if (capMs === undefined || capMs > delayMsMax || capMs < firstMs) return undefined;
  return { kind: 'exponential', firstMs, capMs };
}
