import { replyBytesMax } from '#shared/protocol/limits.ts';
import type { Completed, Fact } from './facts.ts';
import type { PartitionTable } from './partition-table.ts';

/** Waiting items that dequeues of one turn find too old: each is a fact, and the record must fit one message. */
const expiredMax = 1_000;

/** What a turn is given from outside: the core has no clock, no randomness and no identity of its own. */
export interface TurnInputs {
  readonly table: PartitionTable;
  readonly partition: number;
  /** Epoch milliseconds, for all facts of the turn. Not before the table's last record. */
  readonly at: number;
  /** The sequence that the turn's record will have in the log; the claims' token. */
  readonly sequence: number;
  /** Uniform in [0, 1). */
  readonly random01: () => number;
}

/**
 * One group of requests, decided one after the other. Each fact is applied as it is decided, so the next request
 * sees it and two requests for one item never both win. Nothing leaves the process before the turn's record is
 * committed; should that fail, the whole table is thrown away and built anew from rows and log.
 */
export class Turn {
  readonly table: PartitionTable;
  readonly partition: number;
  readonly at: number;
  readonly sequence: number;
  readonly random01: () => number;
  /** False while the log has no room for claims: nothing is handed out, whatever asks for it. */
  mayClaim = true;
  /** What is handed out at once must fit one reply. */
  replyBytesMax = replyBytesMax;
  #nowMs: number;
  readonly #facts: Fact[] = [];
  #completed: Completed | undefined;
  #completedOrders: number[] = [];
  #expired = 0;

  constructor(inputs: TurnInputs) {
    this.table = inputs.table;
    this.partition = inputs.partition;
    this.at = Math.max(inputs.at, inputs.table.appliedAt);
    this.#nowMs = this.at;
    this.sequence = inputs.sequence;
    this.random01 = inputs.random01;
  }

  get facts(): readonly Fact[] {
    return this.#facts;
  }

  /** The time at which the next request is decided: a delay counts from then. Not before `at`, the time of the facts. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Requests join a turn while its record has to wait; each is told the time anew. */
  hearTime(nowMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
  }

  /** Decides a fact: it counts from here on. */
  emit(fact: Fact): void {
    this.table.apply(fact, this.at, this.sequence);
    this.#facts.push(fact);
  }

  /** Decides that an item is done and left no result: such facts that follow each other are one. */
  complete(order: number): void {
    const last = this.#facts.at(-1);
    const fact: Completed = { kind: 'completed', orders: [order] };
    this.table.apply(fact, this.at, this.sequence);
    if (last !== undefined && last === this.#completed) this.#completedOrders.push(order);
    else {
      this.#completedOrders = [order];
      this.#completed = { kind: 'completed', orders: this.#completedOrders };
      this.#facts.push(this.#completed);
    }
  }

  /** Decides that a waiting item grew too old. @returns false when the record has no room for that any more */
  expire(order: number): boolean {
    if (this.#expired >= expiredMax) return false;
    this.#expired += 1;
    this.emit({ kind: 'expired', orders: [order] });
    return true;
  }

  /** Writes down a fact that is applied already, item by item. */
  noteApplied(fact: Fact): void {
    this.#facts.push(fact);
  }
}
