import type { Result } from '#shared/protocol/errors.ts';
import { leaseMsMin } from '#shared/protocol/limits.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type LeaseNews, LeaseRenewal, ticksPerLease } from './lease-renewal.ts';
import { LeaseTable } from './lease-table.ts';

/** What is said about the leases of one worker. */
export type KeeperCommand =
  | {
      readonly kind: 'open';
      readonly worker: number;
      /** Where `extend` is asked. */
      readonly subject: string;
      readonly leaseMs: number;
      readonly memory: SharedArrayBuffer;
    }
  | { readonly kind: 'close'; readonly worker: number }
  | {
      readonly kind: 'note';
      readonly worker: number;
      readonly slot: number;
      readonly generation: number;
      /** JSON text. */
      readonly note: string;
    };

export interface LeaseRoundsOptions {
  readonly clock: Clock;
  /** Asks for `extend` with this body. */
  readonly send: (
    subject: string,
    body: Uint8Array,
    options: { timeoutMs: number },
  ) => Promise<Result<unknown>>;
  readonly tell: (worker: number, news: LeaseNews) => void;
}

type Open = Extract<KeeperCommand, { kind: 'open' }>;
type Note = Extract<KeeperCommand, { kind: 'note' }>;

interface Kept {
  readonly renewal: LeaseRenewal;
  end(): void;
}

/** Notes are gathered for this long: a handler may note its progress in a loop. */
const notesMs = 100;

/** Renews the leases of every worker that was opened, each in its own time. */
export class LeaseRounds {
  readonly #options: LeaseRoundsOptions;
  readonly #kept = new Map<number, Kept>();
  readonly #noted = new Set<LeaseRenewal>();

  constructor(options: LeaseRoundsOptions) {
    this.#options = options;
  }

  take(command: KeeperCommand): void {
    if (command.kind === 'open') this.#kept.set(command.worker, this.#keep(command));
    else if (command.kind === 'note') this.#note(command);
    else {
      this.#kept.get(command.worker)?.end();
      this.#kept.delete(command.worker);
    }
  }

  #keep({ worker, subject, leaseMs, memory }: Open): Kept {
    const { clock, send, tell } = this.#options;
    const renewal = new LeaseRenewal({
      table: new LeaseTable(memory),
      leaseMs,
      // Half a lease: an answer that takes longer is asked for again before the lease runs out.
      send: (body) => send(subject, Buffer.from(body), { timeoutMs: Math.min(10_000, leaseMs / 2) }),
      tell: (news) => tell(worker, news),
    });
    const tickMs = Math.max(leaseMsMin, leaseMs) / ticksPerLease;
    let cancel = clock.after(tickMs, tick);
    function tick(): void {
      void renewal.tick();
      cancel = clock.after(tickMs, tick);
    }
    return {
      renewal,
      end: () => {
        cancel();
        this.#noted.delete(renewal);
      },
    };
  }

  #note({ worker, slot, generation, note }: Note): void {
    const renewal = this.#kept.get(worker)?.renewal;
    if (renewal === undefined) return;
    renewal.note(slot, generation, note);
    this.#noted.add(renewal);
    // The first of a crowd starts the time.
    if (this.#noted.size === 1) this.#options.clock.after(notesMs, () => this.#sendNotes());
  }

  #sendNotes(): void {
    for (const renewal of this.#noted) void renewal.sendNotes();
    this.#noted.clear();
  }
}
