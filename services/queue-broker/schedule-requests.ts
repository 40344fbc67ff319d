import type { Encoding } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { headersMax } from '#shared/protocol/limits.ts';
import { priorities } from '#shared/protocol/queue-schemas.ts';
import type {
  Configure,
  Schedule as AskedSchedule,
  ScheduleView,
} from '#shared/protocol/queue-settings-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { backoffText } from './backoff-text.ts';
import { readEnqueueOptions } from './core/item-options.ts';
import type { PartitionTable } from './core/partition-table.ts';
import type { Schedule } from './core/schedule.ts';
import type { AskedSchedules } from './core/schedule-decisions.ts';
import type { ScheduleEntry } from './core/schedule-table.ts';
import { patternFault } from './cron-slots.ts';
import { payloadView } from './item-views.ts';
import { valuePayload } from './payload.ts';

/** Headers of its own that a schedule gives to each item. */
const ownHeaders = 2;

/** The schedules of a `configure`: null for those that go, 'none' when all of them do. */
export function readSchedules(asked: Configure['schedules'], encoding: Encoding): Result<AskedSchedules> {
  if (asked === null) return accept('none');
  const changes = new Map<string, Schedule | null>();
  for (const [name, one] of Object.entries(asked ?? {})) {
    const field = `schedules.${name}`;
    // The log is UTF-8, which has no half of a surrogate pair.
    if (!name.isWellFormed()) return refuseField(field, 'must be well-formed Unicode');
    const read = one === null ? accept(null) : readSchedule(one, encoding);
    if (!read.ok) return { ok: false, error: below(field, read.error) };
    changes.set(name, read.value);
  }
  return accept(changes);
}

function readSchedule(asked: AskedSchedule, encoding: Encoding): Result<Schedule> {
  const { cron, timeZone = 'UTC', missed = 'once', payload = null, ...given } = asked;
  const fault = patternFault({ cron, timeZone });
  if (fault !== undefined) return { ok: false, error: fault };
  if (Object.keys(given.headers ?? {}).length > headersMax - ownHeaders)
    return refuseField('headers', `must be at most ${headersMax - ownHeaders}: a schedule adds its own`);
  const options = readEnqueueOptions(given, 'none');
  if (!options.ok) return options;
  const content = valuePayload(payload, encoding);
  if (!content.ok) return content;
  return accept({ cron, timeZone, missed, item: { ...content.value, options: options.value } });
}

/** Names the schedule in which a field is wrong. */
function below(name: string, fault: Refusal): Refusal {
  const field = String(fault.details?.['field'] ?? '');
  const path = `${name}.${field}`;
  const message = fault.message.startsWith(field) ? name + '.' + fault.message : fault.message;
  return { ...fault, message, details: { ...fault.details, field: path } };
}

/** Every schedule of a queue by its name, as `describe` shows it. Durations are milliseconds. */
export function schedulesView(
  table: PartitionTable,
  queue: string,
  encoding: Encoding,
): Readonly<Record<string, ScheduleView>> {
  const views = [...table.schedules.of(queue)].map(
    ([name, entry]) => [name, scheduleView(entry, encoding)] as const,
  );
  return Object.fromEntries(views);
}

function scheduleView({ schedule, progress }: ScheduleEntry, encoding: Encoding): ScheduleView {
  const { cron, timeZone, missed, item } = schedule;
  const { band, attemptsMax, backoff, timeoutMs, expiresMs, group, headers } = item.options;
  const { nextAt, lastAt } = progress;
  return {
    cron,
    timeZone,
    missed,
    ...payloadView(item, item.payload, encoding),
    priority: priorities[band] ?? 'normal',
    ...(attemptsMax === undefined ? {} : { maxAttempts: attemptsMax }),
    ...(backoff === undefined ? {} : { backoff: backoffText(backoff) }),
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    ...(expiresMs === undefined ? {} : { expires: expiresMs }),
    ...(group === undefined ? {} : { group }),
    ...(headers === undefined ? {} : { headers }),
    ...(nextAt === undefined ? {} : { nextAt: formatTime(nextAt) }),
    ...(lastAt === undefined ? {} : { lastAt: formatTime(lastAt) }),
    ...(progress.skipped === 0 ? {} : { slotsSkipped: progress.skipped }),
  };
}
