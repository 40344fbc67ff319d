import { createHash } from 'node:crypto';
import { type Encoding, encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, accept, refuse } from '#shared/protocol/errors.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import type { QueueDescription, SettingsView } from '#shared/protocol/queue-settings-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { backoffText } from './backoff-text.ts';
import type { PartitionTable } from './core/partition-table.ts';
import type { Keep, QueueSettings, RateLimit } from './core/queue-settings.ts';
import { checkSchedules, decideSchedules } from './core/schedule-decisions.ts';
import { changedSettings } from './core/settings-changes.ts';
import { decideConfigure } from './core/settings-decisions.ts';
import { cronSlots } from './cron-slots.ts';
import { itemBytes } from './log-bytes.ts';
import { type QueueRequest, submitPlain } from './queue-request.ts';
import { readSchedules, schedulesView } from './schedule-requests.ts';

const checkConfigure = validator(queueRequests.configure);
const checkEmpty = validator(queueRequests.describe);

/** What a queue is set to. */
export const settingsOperations = {
  configure,
  describe: (request: QueueRequest, body: unknown) =>
    submitPlain(
      request,
      checkEmpty(body),
      (turn) => accept(describedQueue(turn.table, request.queue, request.encodings.reply)),
      'nothing',
    ),
};

function configure(request: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkConfigure(body);
  if (!checked.ok) return checked.error;
  const { schedules: given, ifTag, ...asked } = checked.value;
  const schedules = readSchedules(given, request.encodings.request);
  if (!schedules.ok) return schedules.error;
  const { queue, partition, caller, encodings } = request;
  partition.submit({
    // Schedules carry payloads, and stand in the log as they came.
    bytes: itemBytes + request.message.data.length,
    room: given === undefined || given === null ? 'always' : 'new-items',
    decide: (turn) => {
      // In the turn itself: whoever is decided next sees what this one has changed.
      const tag = ifTag === undefined ? undefined : settingsTag(turn.table, queue);
      if (tag !== ifTag) return () => caller.refuse(changedMeanwhile(queue, tag ?? ''));
      const settings = changedSettings(turn.table.queue(queue)?.stored ?? {}, asked);
      const checkedSlots = checkSchedules(turn, cronSlots, queue, schedules.value);
      const fault = settings.ok ? checkedSlots : settings;
      if (!settings.ok || !fault.ok) return () => fault.ok || caller.refuse(fault.error);
      decideConfigure(turn, queue, settings.value);
      decideSchedules(turn, cronSlots, queue, schedules.value);
      const described = describedQueue(turn.table, queue, encodings.reply);
      return () => caller.value(described);
    },
    refuse: caller.refuse,
  });
  return undefined;
}

/** The answer of `configure` and `describe`; an unknown queue has the defaults. */
export function describedQueue(table: PartitionTable, queue: string, encoding: Encoding): QueueDescription {
  return {
    queue,
    paused: table.queue(queue)?.paused ?? false,
    settings: settingsView(table.settingsOf(queue)),
    schedules: schedulesView(table, queue, encoding),
    tag: settingsTag(table, queue),
  };
}

/** The same in whichever encoding somebody asks. The times of schedules go on by themselves and are left out. */
function settingsTag(table: PartitionTable, queue: string): string {
  const schedules = Object.entries(schedulesView(table, queue, json))
    .map(([name, { nextAt: _next, lastAt: _last, slotsSkipped: _skipped, ...rest }]) => [name, rest] as const)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const written = encode([settingsView(table.settingsOf(queue)), schedules], json);
  return createHash('sha256').update(written).digest('base64url').slice(0, 22);
}

const changedMeanwhile = (queue: string, tag: string): Refusal =>
  refuse('conflict', `the settings of queue ${queue} changed since they were read`, { tag }).error;

function settingsView(settings: QueueSettings): SettingsView {
  const { timeoutMs, itemsMax, bytesMax, concurrency, rateLimit, retention } = settings;
  return {
    maxAttempts: settings.attemptsMax,
    backoff: backoffText(settings.backoff),
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    lease: settings.leaseMs,
    dedupWindow: settings.dedupWindowMs,
    ordering: settings.ordering,
    agingAfter: settings.agingAfterMs,
    ...(itemsMax === undefined ? {} : { maxSize: itemsMax }),
    ...(bytesMax === undefined ? {} : { maxBytes: bytesMax }),
    concurrency,
    rateLimit: {
      ...(rateLimit.total === undefined ? {} : { total: rateView(rateLimit.total) }),
      ...(rateLimit.perGroup === undefined ? {} : { perGroup: rateView(rateLimit.perGroup) }),
    },
    retention: { done: keepView(retention.done), failed: keepView(retention.failed) },
    search: [...settings.search],
  };
}

const rateView = ({ count, perMs }: RateLimit) => ({ count, per: perMs });

const keepView = ({ ageMs, count, bytes }: Keep) => ({
  ...(ageMs === undefined ? {} : { age: ageMs }),
  ...(count === undefined ? {} : { count }),
  ...(bytes === undefined ? {} : { bytes }),
});
