import type { Refusal } from '#shared/protocol/errors.ts';
import type { Turn } from './core/turn.ts';

/** What is done once the turn's record is durable: nobody hears of a decision before. */
export type AfterCommit = () => void;

/** An answer that takes some work to put together: it is prepared while the disk writes, and then only has to be sent. */
export interface Prepared {
  /** Called once. What it returns sends the answer. */
  readonly prepare: () => AfterCommit;
}

export type Answer = AfterCommit | Prepared;

export const prepared = (answer: Answer): AfterCommit =>
  typeof answer === 'function' ? answer : answer.prepare();

/** How full the log may be for a piece of work: what frees space must always fit, and `nothing` is added by a question. */
export type Room = 'new-items' | 'claims' | 'always' | 'nothing';

/** One request, as a partition takes it: decided within a turn, answered after its commit. */
export interface Work {
  /** Bytes that it holds in memory and may add to the log. */
  readonly bytes: number;
  readonly room: Room;
  decide(turn: Turn): Answer;
  /** Answers a request that was not decided, or (`timeout`) one whose decision may or may not have become durable. */
  refuse(refusal: Refusal): void;
}

/** A dequeue that found nothing and waits. */
export interface Waiter {
  readonly queue: string;
  readonly worker?: string | undefined;
  /** `Nats-Msg-Id`: of two who ask at a queue under the same one, the earlier gets nothing. */
  readonly claim?: string | undefined;
  /** Tries again; undefined when there is still nothing. */
  decide(turn: Turn): Answer | undefined;
  /** Answers that none came in time. */
  expire(): void;
  /** Answers that what it was given may not stand: the record's outcome is not known. */
  refuse(refusal: Refusal): void;
}
