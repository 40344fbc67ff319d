import type { Schedule, SlotPattern, Slots } from '#services/queue-broker/core/schedule.ts';

// Slots without cron: the pattern is a period in milliseconds, such as "5000", or "never".

const periodOf = ({ cron }: SlotPattern): number | undefined => (cron === 'never' ? undefined : Number(cron));

/** How often each verb was asked: some moments may be asked for seldom, whatever time does. */
export interface CountedSlots extends Slots {
  readonly asked: () => number;
}

export function madeSlots(): CountedSlots {
  let asked = 0;
  return {
    asked: () => asked,
    nextSlot: (pattern, afterMs) => {
      asked += 1;
      const period = periodOf(pattern);
      return period === undefined ? undefined : (Math.floor(afterMs / period) + 1) * period;
    },
    // Too early by one, as it is allowed to be.
    beforeNewest: (pattern, untilMs, count) => {
      asked += 1;
      const period = periodOf(pattern) ?? 1;
      return (Math.floor(untilMs / period) - count) * period - 1;
    },
  };
}

export const madeSchedule = (over: Partial<Schedule> = {}, payload = '"tick"'): Schedule => ({
  cron: '1000',
  timeZone: 'UTC',
  missed: 'once',
  item: { payload: new TextEncoder().encode(payload), payloadIsJson: true, options: { band: 2 } },
  ...over,
});
