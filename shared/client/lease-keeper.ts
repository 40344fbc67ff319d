import { Worker as Thread } from 'node:worker_threads';
import { refuse } from '#shared/protocol/errors.ts';
import type { NatsOptions } from '#shared/runtime/nats.ts';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import type { KeeperReport } from './lease-keeper-thread.ts';
import type { LeaseNews } from './lease-renewal.ts';
import type { KeeperCommand } from './lease-rounds.ts';
import { LeaseTable } from './lease-table.ts';

export interface LeasesOptions {
  /** Where `extend` is asked. */
  readonly subject: string;
  readonly leaseMs: number;
  /** Most leases at once. */
  readonly slots: number;
  readonly onNews: (news: LeaseNews) => void;
}

/** One worker's leases, kept until `close`. */
export interface Leases {
  readonly table: LeaseTable;
  /** Sends a note with the next renewal, within 100 ms. `note` is JSON text. */
  note(slot: number, generation: number, note: string): void;
  close(): void;
}

/** Keeps the leases of all workers of one client. */
export interface LeaseKeeping {
  /** Resolves as soon as leases are renewed: what is leased before may run out. */
  readonly ready: Promise<void>;
  open(options: LeasesOptions): Leases;
  /** Renews nothing any more. */
  end(): Promise<void>;
}

type Open = Extract<KeeperCommand, { kind: 'open' }>;

/** Between the end of a thread that failed and the next one. */
const restartMs = 1_000;

/**
 * Keeps the leases of all workers of one client on a thread of its own, which begins with the first of them. A thread
 * that fails is reported to every worker and begun anew: what it has to know is in the tables that it shares.
 */
export class LeaseKeeper implements LeaseKeeping {
  readonly #nats: NatsOptions;
  readonly #workers = new Map<number, { readonly open: Open; readonly onNews: LeasesOptions['onNews'] }>();
  #thread: Thread | undefined;
  #ready = Promise.withResolvers<void>();
  #newest = 0;
  #ended = false;

  /** @param nats how the client itself has connected */
  constructor(nats: NatsOptions) {
    this.#nats = { ...nats, name: `${nats.name} (leases)` };
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  open({ subject, leaseMs, slots, onNews }: LeasesOptions): Leases {
    const table = new LeaseTable(slots);
    const worker = (this.#newest += 1);
    const open: Open = { kind: 'open', worker, subject, leaseMs, memory: table.memory };
    this.#workers.set(worker, { open, onNews });
    if (this.#thread === undefined) this.#start();
    else this.#tell(open);
    return {
      table,
      note: (slot, generation, note) => this.#tell({ kind: 'note', worker, slot, generation, note }),
      close: () => {
        if (this.#workers.delete(worker)) this.#tell({ kind: 'close', worker });
      },
    };
  }

  /** Ends the thread and its connection. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#thread?.terminate();
  }

  #tell(command: KeeperCommand): void {
    this.#thread?.postMessage(command);
  }

  #start(): void {
    const thread = new Thread(new URL('./lease-keeper-thread.ts', import.meta.url), {
      name: 'trivet leases',
      // What the program was started with (a script on the command line, a debugger's port) is not meant for this thread.
      execArgv: [],
      workerData: this.#nats,
    });
    // The client's connection keeps the process alive, and this thread for as long as there is that.
    thread.unref();
    thread.on('message', (report: KeeperReport) => {
      if (report.kind === 'ready') this.#ready.resolve();
      else this.#workers.get(report.worker)?.onNews(report.news);
    });
    thread.on('error', (error) => this.#report(error.message));
    thread.on('exit', (code) => void this.#restart(code));
    this.#thread = thread;
    for (const { open } of this.#workers.values()) this.#tell(open);
  }

  async #restart(code: number): Promise<void> {
    if (this.#ended) return;
    this.#report(`it ended with code ${code}`);
    this.#thread = undefined;
    await sleep(systemClock, restartMs);
    if (!this.#ended && this.#thread === undefined) this.#start();
  }

  #report(reason: string): void {
    const fault = refuse('internal', `the thread that renews leases has failed: ${reason}`).error;
    for (const { onNews } of this.#workers.values()) onNews({ kind: 'fault', refusal: fault });
  }
}
