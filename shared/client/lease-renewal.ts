import type { Refusal, Result } from '#shared/protocol/errors.ts';
import { batchItemsMax } from '#shared/protocol/limits.ts';
import type { HeldLease, LeaseTable } from './lease-table.ts';

/** What the renewal of leases brings to light; told to the worker that holds them. */
export type LeaseNews =
  | { readonly kind: 'cancelled'; readonly slot: number; readonly generation: number }
  | { readonly kind: 'lost'; readonly slot: number; readonly generation: number; readonly refusal: Refusal }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

export interface LeaseRenewalOptions {
  readonly table: LeaseTable;
  readonly leaseMs: number;
  /** Sends an `extend` with this body. */
  readonly send: (body: string) => Promise<Result<unknown>>;
  readonly tell: (news: LeaseNews) => void;
}

type Answer = { readonly cancelled: boolean } | { readonly error: Refusal };

/** Ticks in the length of a lease. A lease is renewed first when it is one to two ticks old, then every two ticks. */
export const ticksPerLease = 6;
const ticksToRenewal = 2;

/**
 * Renews the leases of one worker. It is ticked six times in the length of a lease and has no other clock: a lease that
 * it meets for the second time is renewed, so short jobs are never renewed at all.
 */
export class LeaseRenewal {
  readonly #options: LeaseRenewalOptions;
  /** For each slot the generation that was seen last, and the ticks until that is renewed. */
  readonly #seen: Int32Array;
  readonly #ticksLeft: Uint8Array;
  readonly #notes = new Map<number, { readonly generation: number; readonly note: string }>();

  constructor(options: LeaseRenewalOptions) {
    this.#options = options;
    this.#seen = new Int32Array(options.table.slots);
    this.#ticksLeft = new Uint8Array(options.table.slots);
  }

  /** Looks at every slot, and renews what is due. */
  tick(): Promise<void> {
    const { table } = this.#options;
    const due: HeldLease[] = [];
    for (let slot = 0; slot < table.slots; slot += 1) {
      const generation = table.generation(slot);
      if (generation === 0) continue;
      if (this.#seen[slot] !== generation) {
        this.#seen[slot] = generation;
        this.#ticksLeft[slot] = 1;
        continue;
      }
      this.#ticksLeft[slot] = (this.#ticksLeft[slot] ?? 1) - 1;
      const lease = this.#ticksLeft[slot] === 0 ? table.read(slot) : undefined;
      if (lease !== undefined) due.push(lease);
    }
    return this.#renew(due);
  }

  /** Keeps the newest note of a job; it goes out with `sendNotes`, or with the next renewal. */
  note(slot: number, generation: number, note: string): void {
    this.#notes.set(slot, { generation, note });
  }

  /** Sends what notes there are. They renew their leases on the way. */
  sendNotes(): Promise<void> {
    const due: HeldLease[] = [];
    for (const [slot, { generation }] of this.#notes) {
      const lease = this.#options.table.read(slot);
      if (lease?.generation === generation) due.push(lease);
      // The job has ended, and has sent its last note itself.
      else this.#notes.delete(slot);
    }
    return this.#renew(due);
  }

  async #renew(due: readonly HeldLease[]): Promise<void> {
    const batches: HeldLease[][] = [];
    for (let from = 0; from < due.length; from += batchItemsMax)
      batches.push(due.slice(from, from + batchItemsMax));
    await Promise.all(batches.map((batch) => this.#renewBatch(batch)));
  }

  async #renewBatch(batch: readonly HeldLease[]): Promise<void> {
    const { send, tell, leaseMs } = this.#options;
    const notes = batch.map((lease) => this.#takeNote(lease));
    const items = batch.map((lease, index) => {
      this.#ticksLeft[lease.slot] = ticksToRenewal;
      const note = notes[index];
      const progress = note === undefined ? '' : `,"progress":${note}`;
      return `{"id":"${lease.id}","token":${lease.token},"lease":${leaseMs}${progress}}`;
    });
    const reply = await send(`{"items":[${items.join(',')}]}`);
    if (!reply.ok) {
      this.#tryAgain(batch, notes);
      tell({ kind: 'fault', refusal: reply.error });
      return;
    }
    const answers = (reply.value as { readonly items: readonly Answer[] }).items;
    for (const [index, lease] of batch.entries()) this.#read(lease, answers[index]);
  }

  /** At the next tick, with the notes that nobody has taken and that no newer ones have replaced. */
  #tryAgain(batch: readonly HeldLease[], notes: readonly (string | undefined)[]): void {
    for (const [index, { slot, generation }] of batch.entries()) {
      this.#ticksLeft[slot] = 1;
      const note = notes[index];
      if (note !== undefined && !this.#notes.has(slot)) this.#notes.set(slot, { generation, note });
    }
  }

  #read(lease: HeldLease, answer: Answer | undefined): void {
    const { slot, generation } = lease;
    const { tell } = this.#options;
    if (answer === undefined) return;
    if ('error' in answer) {
      const refusal = answer.error;
      if (isLost(refusal)) tell({ kind: 'lost', slot, generation, refusal });
      else tell({ kind: 'fault', refusal });
    } else if (answer.cancelled) tell({ kind: 'cancelled', slot, generation });
  }

  #takeNote(lease: HeldLease): string | undefined {
    const noted = this.#notes.get(lease.slot);
    if (noted?.generation !== lease.generation) return undefined;
    this.#notes.delete(lease.slot);
    return noted.note;
  }
}

/** The item is no longer this worker's; anything else that is refused (a note, say) leaves the lease as it is. */
export const isLost = (refusal: Refusal): boolean =>
  refusal.code === 'lease_lost' || refusal.code === 'wrong_state' || refusal.code === 'not_found';
