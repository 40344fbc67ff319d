import type { Refusal } from '#shared/protocol/errors.ts';
import type { StateEvent } from './core/state-event.ts';
import type { Turn } from './core/turn.ts';
import type { Answer, Waiter, Work } from './work.ts';

/** Requests that were decided one after the other, and what is to be told of them once their record is durable. */
export interface Group {
  readonly turn: Turn;
  readonly openedMs: number;
  readonly work: Work[];
  readonly answers: Answer[];
  readonly events: StateEvent[];
  readonly served: Pick<Waiter, 'refuse'>[];
  bytes: number;
}

/** Tells everybody whose request stands in the group, and whoever was served in it. */
export function refuseAll({ work, served }: Group, refusal: Refusal): void {
  for (const one of work) one.refuse(refusal);
  for (const waiter of served) waiter.refuse(refusal);
}
