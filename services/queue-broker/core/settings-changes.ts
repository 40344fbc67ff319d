import { durationMs } from '#shared/protocol/durations.ts';
import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import * as limits from '#shared/protocol/limits.ts';
import type { Configure, Rate } from '#shared/protocol/queue-settings-schemas.ts';
import { parseBackoff } from './item-options.ts';
import type {
  Concurrency,
  Keep,
  RateLimit,
  RateLimits,
  Retention,
  StoredSettings,
} from './queue-settings.ts';

/** What `configure` asks for, without what is no setting of the queue's own. */
export type AskedSettings = Omit<Configure, 'schedules' | 'ifTag'>;

/** A field of a request: a value, null for the default, or undefined for as it is. */
type Asked<T> = T | null | undefined;
type Duration = string | number;

/**
 * What is configured once `asked` has been taken over: its fields replace those of `stored`, the parts of
 * `concurrency`, `rateLimit` and `retention` one by one. Refuses what the schema cannot: durations out of range.
 */
export function changedSettings(stored: StoredSettings, asked: AskedSettings): Result<StoredSettings> {
  const fault = faultOf(asked);
  if (fault !== undefined) return { ok: false, error: fault };
  return accept(
    present({
      attemptsMax: merged(stored.attemptsMax, asked.maxAttempts),
      backoff: merged(stored.backoff, read(asked.backoff, parseBackoff)),
      timeoutMs: merged(stored.timeoutMs, ms(asked.timeout)),
      leaseMs: merged(stored.leaseMs, ms(asked.lease)),
      dedupWindowMs: merged(stored.dedupWindowMs, ms(asked.dedupWindow)),
      ordering: merged(stored.ordering, asked.ordering),
      agingAfterMs: merged(stored.agingAfterMs, ms(asked.agingAfter)),
      itemsMax: merged(stored.itemsMax, asked.maxSize),
      bytesMax: merged(stored.bytesMax, asked.maxBytes),
      concurrency: filled(mergedConcurrency(stored.concurrency, asked.concurrency)),
      rateLimit: filled(mergedRates(stored.rateLimit, asked.rateLimit)),
      retention: filled(mergedRetention(stored.retention, asked.retention)),
      search: merged(
        stored.search,
        read(asked.search, (paths) => [...new Set(paths)]),
      ),
    }),
  );
}

function mergedConcurrency(
  stored: Concurrency | undefined,
  asked: AskedSettings['concurrency'],
): Concurrency | undefined {
  if (asked === null || asked === undefined) return merged(stored, asked);
  return present({
    total: merged(stored?.total, asked.total),
    perGroup: merged(stored?.perGroup, asked.perGroup),
  });
}

function mergedRates(
  stored: RateLimits | undefined,
  asked: AskedSettings['rateLimit'],
): RateLimits | undefined {
  if (asked === null || asked === undefined) return merged(stored, asked);
  return present({
    total: merged(stored?.total, read(asked.total, rateLimit)),
    perGroup: merged(stored?.perGroup, read(asked.perGroup, rateLimit)),
  });
}

function mergedRetention(
  stored: StoredSettings['retention'],
  asked: AskedSettings['retention'],
): Partial<Retention> | undefined {
  if (asked === null || asked === undefined) return merged(stored, asked);
  return present({
    done: filled(mergedKeep(stored?.done, asked.done)),
    failed: filled(mergedKeep(stored?.failed, asked.failed)),
  });
}

type AskedKeep = NonNullable<NonNullable<Configure['retention']>['done']>;

function mergedKeep(stored: Keep | undefined, asked: Asked<AskedKeep>): Keep | undefined {
  if (asked === null || asked === undefined) return merged(stored, asked);
  return present({
    ageMs: merged(stored?.ageMs, ms(asked.age)),
    count: merged(stored?.count, asked.count),
    bytes: merged(stored?.bytes, asked.bytes),
  });
}

const tenYears = 'must be at most ten years';
const lasting = 'must be from 1s to ten years';
const rated = 'must be from 1ms to 1d';

/** The first field that is out of the range that its meaning has. */
function faultOf(asked: AskedSettings): Refusal | undefined {
  const { rateLimit: rates, retention } = asked;
  const outside = (field: string, given: Asked<Duration>, range: readonly [number, number, string]) => {
    if (given === null || given === undefined) return undefined;
    const [min, max, problem] = range;
    const length = durationMs(given);
    const fits = length !== undefined && length >= min && length <= max;
    return fits ? undefined : refuseField(field, problem).error;
  };
  const badBackoff = typeof asked.backoff === 'string' && parseBackoff(asked.backoff) === undefined;
  const { ratePerMsMin, ratePerMsMax, delayMsMax, leaseMsMin, leaseMsMax, settingMsMin } = limits;
  return (
    outside('timeout', asked.timeout, [1, delayMsMax, 'must be longer than 0 and at most ten years']) ??
    outside('lease', asked.lease, [leaseMsMin, leaseMsMax, 'must be from 100ms to 1d']) ??
    outside('dedupWindow', asked.dedupWindow, [settingMsMin, delayMsMax, lasting]) ??
    outside('agingAfter', asked.agingAfter, [settingMsMin, delayMsMax, lasting]) ??
    outside('rateLimit.total.per', rates?.total?.per, [ratePerMsMin, ratePerMsMax, rated]) ??
    outside('rateLimit.perGroup.per', rates?.perGroup?.per, [ratePerMsMin, ratePerMsMax, rated]) ??
    outside('retention.done.age', retention?.done?.age, [0, delayMsMax, tenYears]) ??
    outside('retention.failed.age', retention?.failed?.age, [0, delayMsMax, tenYears]) ??
    (badBackoff
      ? refuseField('backoff', 'must have a first delay within its cap, of ten years at most').error
      : undefined) ??
    faultOfSearch(asked.search)
  );
}

function faultOfSearch(paths: Asked<readonly string[]>): Refusal | undefined {
  // The log is UTF-8, which has no half of a surrogate pair.
  const bad = paths?.findIndex((path) => !path.isWellFormed()) ?? -1;
  return bad < 0 ? undefined : refuseField(`search[${bad}]`, 'must be well-formed Unicode').error;
}

const merged = <T>(stored: T | undefined, asked: Asked<T>): T | undefined =>
  asked === undefined ? stored : (asked ?? undefined);

function read<A, T>(asked: Asked<A>, convert: (value: A) => T | undefined): Asked<T> {
  if (asked === null) return null;
  return asked === undefined ? undefined : convert(asked);
}

const ms = (asked: Asked<Duration>): Asked<number> => read(asked, durationMs);

const rateLimit = ({ count, per }: Rate): RateLimit => ({ count, perMs: durationMs(per) ?? 0 });

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The fields that are there. */
const present = <T extends object>(fields: T): Present<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>;

/** Nothing instead of an object without fields. */
const filled = <T extends object>(fields: T | undefined): T | undefined =>
  fields === undefined || Object.keys(fields).length === 0 ? undefined : fields;
