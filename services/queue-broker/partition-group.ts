import type { Refusal } from '#shared/protocol/errors.ts';
import type { StateEvent } from './core/state-event.ts';
import type { Turn } from './core/turn.ts';
import type { PartitionOptions } from './partition-options.ts';
import { type AfterCommit, type Answer, type Waiter, type Work, prepared } from './work.ts';

/** Requests that were decided one after the other, and what is to be told of them once their record is durable. */
export interface Group {
  readonly turn: Turn;
  readonly openedMs: number;
  readonly work: Work[];
  readonly answers: Answer[];
  /** Tells of its events, once that is prepared. */
  announce: AfterCommit | undefined;
  readonly events: StateEvent[];
  readonly served: Pick<Waiter, 'refuse'>[];
  bytes: number;
}

/** @param bytes of what time has brought to it */
export const newGroup = (turn: Turn, openedMs: number, bytes: number): Group => ({
  turn,
  openedMs,
  work: [],
  answers: [],
  announce: undefined,
  events: [],
  served: [],
  bytes,
});

/** Tells everybody whose request stands in the group, and whoever was served in it. */
export function refuseAll({ work, served }: Group, refusal: Refusal): void {
  for (const one of work) one.refuse(refusal);
  for (const waiter of served) waiter.refuse(refusal);
}

type Announcing = Pick<PartitionOptions, 'partition' | 'announcement'>;

/** Puts together what the world will hear of a group. A defect in that comes up again when the group is told. */
export function prepareTelling(group: Group, announcing: Announcing): void {
  try {
    group.announce ??= announcementOf(group, announcing);
    for (const [index, answer] of group.answers.entries()) group.answers[index] = prepared(answer);
  } catch {
    // Thrown once more by `tellOf`, which tells first what stands before it.
  }
}

/** Tells what is durable. `announced` comes between events and answers. */
export function tellOf(group: Group, announcing: Announcing, announced: () => void): void {
  // Before the answers: who has an answer and listens has heard of it, and may stop listening.
  const announce = group.announce ?? announcementOf(group, announcing);
  announce();
  announced();
  for (const answer of group.answers) prepared(answer)();
}

const announcementOf = ({ turn, events }: Group, { partition, announcement }: Announcing): AfterCommit =>
  turn.facts.length > 0 ? announcement(partition, events, turn.at) : () => undefined;
