import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { LeaseKeeping, Leases, LeasesOptions } from './lease-keeper.ts';
import type { LeaseNews } from './lease-renewal.ts';
import { LeaseRounds } from './lease-rounds.ts';
import { LeaseTable } from './lease-table.ts';
import { requestReply } from './request.ts';

/**
 * Keeps leases on the caller's own thread and connection: where time stands still while a handler blocks (tests), a
 * thread of its own has nothing to renew meanwhile.
 */
export class LocalLeaseKeeper implements LeaseKeeping {
  readonly ready = Promise.resolve();
  readonly #rounds: LeaseRounds;
  readonly #workers = new Map<number, (news: LeaseNews) => void>();
  #newest = 0;

  constructor(nats: Nats, clock: Clock) {
    this.#rounds = new LeaseRounds({
      clock,
      send: (subject, body, options) => requestReply(nats, subject, body, options),
      tell: (worker, news) => this.#workers.get(worker)?.(news),
    });
  }

  open({ subject, leaseMs, slots, onNews }: LeasesOptions): Leases {
    const table = new LeaseTable(slots);
    const worker = (this.#newest += 1);
    this.#workers.set(worker, onNews);
    this.#rounds.take({ kind: 'open', worker, subject, leaseMs, memory: table.memory });
    return {
      table,
      note: (slot, generation, note) => this.#rounds.take({ kind: 'note', worker, slot, generation, note }),
      close: () => this.#close(worker),
    };
  }

  end(): Promise<void> {
    for (const worker of this.#workers.keys()) this.#close(worker);
    return Promise.resolve();
  }

  #close(worker: number): void {
    this.#workers.delete(worker);
    this.#rounds.take({ kind: 'close', worker });
  }
}
