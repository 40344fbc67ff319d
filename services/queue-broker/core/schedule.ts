import type { MissedSlots } from '#shared/protocol/queue-settings-schemas.ts';
import type { EnqueueRequest } from './enqueue-decisions.ts';

/** When a schedule's slots are. */
export interface SlotPattern {
  readonly cron: string;
  /** IANA name. */
  readonly timeZone: string;
}

/** What was configured: each slot makes one such item. */
export interface Schedule extends SlotPattern {
  readonly missed: MissedSlots;
  readonly item: ScheduledItem;
}

/** An item as its schedule makes it, but for the headers that say where it comes from. */
export type ScheduledItem = Pick<EnqueueRequest, 'payload' | 'payloadIsJson' | 'contentType' | 'options'>;

/** How far a schedule has come. */
export interface ScheduleProgress {
  /** The slot that comes next, epoch milliseconds; none when the pattern names no further one. */
  readonly nextAt?: number;
  /** The newest slot that made an item. */
  readonly lastAt?: number;
  /** Slots up to here were missed and are made up for (`missed: 'all'`). */
  readonly makesUpTo?: number;
  /** Slots that found the queue full. */
  readonly skipped: number;
}

/**
 * Cron and time zones, which the core knows nothing of: they depend on tables that change from one version to the
 * next. What is decided with their help is written into facts, so replay asks neither.
 */
export interface Slots {
  /** The first slot after a moment, or undefined when there is none any more. */
  nextSlot(pattern: SlotPattern, afterMs: number): number | undefined;
  /** A moment before the newest `count` slots that are not after `untilMs`: perhaps too early, never too late. */
  beforeNewest(pattern: SlotPattern, untilMs: number, count: number): number;
}

/** Headers of an item that a schedule has made. */
export const scheduleHeader = 'trivet-schedule';
export const slotHeader = 'trivet-slot';
