import type { Outgoing } from './core/flow-table.ts';
import type { Slots } from './core/schedule.ts';
import type { StateEvent } from './core/state-event.ts';
import type { MessageRoom } from './message-room.ts';
import type { PartitionParts, Recovered } from './partition-recovery.ts';
import type { AfterCommit } from './work.ts';

export interface PartitionOptions extends PartitionParts, Recovered {
  readonly random01: () => number;
  /** When the slots of schedules are. Default: as cron says. */
  readonly slots?: Slots;
  /** Prepares what is told of changes of state; what it returns tells it, once they are durable. */
  readonly announcement: (partition: number, events: readonly StateEvent[], at: number) => AfterCommit;
  /** Hears that something has come up for other partitions: what that is, and that it is durable, is asked in a turn. */
  readonly outgoing?: (partition: number, outgoing: Outgoing) => void;
  /** Hears of queues that were forgotten since nothing of them was left. */
  readonly forgot?: (queues: readonly string[]) => void;
  /** Hears how long a record took to become durable, and how many facts it held. */
  readonly appended?: (durationMs: number, facts: number) => void;
  /** What goes into one message now. Default: as where NATS takes 8 MB. */
  readonly room?: () => MessageRoom;
  /** Whether the lease is fresh; without it nothing is answered that the log has not confirmed. Default: it is. */
  readonly holds?: () => boolean;
  /** The ownership has ended: the table is not to be trusted any more. Called once. */
  readonly lost: (error: unknown) => void;
}
