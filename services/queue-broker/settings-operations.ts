import { formatDuration } from '#shared/protocol/durations.ts';
import { type Refusal, accept, refuseField } from '#shared/protocol/errors.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import type { QueueDescription, SettingsView } from '#shared/protocol/queue-settings-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { PartitionTable } from './core/partition-table.ts';
import type { Keep, QueueSettings, RateLimit } from './core/queue-settings.ts';
import type { Backoff } from './core/retry-policy.ts';
import { changedSettings } from './core/settings-changes.ts';
import { decideConfigure } from './core/settings-decisions.ts';
import { type QueueRequest, submitPlain } from './queue-request.ts';

const checkConfigure = validator(queueRequests.configure);
const checkEmpty = validator(queueRequests.describe);

/** What a queue is set to. */
export const settingsOperations = {
  configure,
  describe: (request: QueueRequest, body: unknown) =>
    submitPlain(
      request,
      checkEmpty(body),
      (turn) => accept(describedQueue(turn.table, request.queue)),
      'nothing',
    ),
};

function configure(request: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkConfigure(body);
  if (!checked.ok) return checked.error;
  const { schedules, ...asked } = checked.value;
  if (schedules !== undefined) return refuseField('schedules', 'is not a field of this version').error;
  const { queue } = request;
  return submitPlain(request, accept(asked), (turn) => {
    const settings = changedSettings(turn.table.queue(queue)?.stored ?? {}, asked);
    if (!settings.ok) return settings;
    decideConfigure(turn, queue, settings.value);
    return accept(describedQueue(turn.table, queue));
  });
}

/** The answer of `configure` and `describe`; an unknown queue has the defaults. */
export function describedQueue(table: PartitionTable, queue: string): QueueDescription {
  return {
    queue,
    paused: table.queue(queue)?.paused ?? false,
    settings: settingsView(table.settingsOf(queue)),
    schedules: {},
  };
}

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

const backoffText = (backoff: Backoff): string =>
  backoff.kind === 'fixed'
    ? `fixed:${formatDuration(backoff.delayMs)}`
    : `exponential:${formatDuration(backoff.firstMs)}:${formatDuration(backoff.capMs)}`;
