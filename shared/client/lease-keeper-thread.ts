import { parentPort, workerData } from 'node:worker_threads';
import { refuse } from '#shared/protocol/errors.ts';
import { leaseMsMin } from '#shared/protocol/limits.ts';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import { type Nats, type NatsOptions, connectNats } from '#shared/runtime/nats.ts';
import { type LeaseNews, LeaseRenewal, ticksPerLease } from './lease-renewal.ts';
import { LeaseTable } from './lease-table.ts';
import { requestReply } from './request.ts';

// The thread that keeps leases: it has a connection of its own, so a handler that blocks its thread keeps its item.

/** What the thread is told. */
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

/** What the thread tells: that it keeps leases from now on, or news of one worker's. */
export type KeeperReport =
  { readonly kind: 'ready' } | { readonly kind: 'news'; readonly worker: number; readonly news: LeaseNews };

/** Notes are gathered for this long: a handler may note its progress in a loop. */
const notesMs = 100;
/** After a connection could not be made. */
const reconnectMs = 500;

interface Kept {
  readonly renewal: LeaseRenewal;
  end(): void;
}

const port = parentPort;
if (port === null) throw new Error('this file is run as a thread by lease-keeper.ts');
const tell = (report: KeeperReport): void => port.postMessage(report);
const kept = new Map<number, Kept>();
const noted = new Set<LeaseRenewal>();
let nats: Nats | undefined;

port.on('message', (command: KeeperCommand) => {
  if (command.kind === 'open') kept.set(command.worker, keep(command));
  else if (command.kind === 'note') note(command);
  else {
    kept.get(command.worker)?.end();
    kept.delete(command.worker);
  }
});
nats = await connected(workerData as NatsOptions);
tell({ kind: 'ready' });

function keep({ worker, subject, leaseMs, memory }: Extract<KeeperCommand, { kind: 'open' }>): Kept {
  const renewal = new LeaseRenewal({
    table: new LeaseTable(memory),
    leaseMs,
    send: async (body) => {
      if (nats === undefined) return refuse('unavailable', 'there is no connection to NATS yet');
      // Half a lease: an answer that takes longer is asked for again before the lease runs out.
      return requestReply(nats, subject, Buffer.from(body), { timeoutMs: Math.min(10_000, leaseMs / 2) });
    },
    tell: (news) => tell({ kind: 'news', worker, news }),
  });
  const tickMs = Math.max(leaseMsMin, leaseMs) / ticksPerLease;
  let cancel = systemClock.after(tickMs, tick);
  function tick(): void {
    void renewal.tick();
    cancel = systemClock.after(tickMs, tick);
  }
  return {
    renewal,
    end: () => {
      cancel();
      noted.delete(renewal);
    },
  };
}

function note({ worker, slot, generation, note: text }: Extract<KeeperCommand, { kind: 'note' }>): void {
  const renewal = kept.get(worker)?.renewal;
  if (renewal === undefined) return;
  renewal.note(slot, generation, text);
  noted.add(renewal);
  // The first of a crowd starts the time.
  if (noted.size === 1) systemClock.after(notesMs, sendNotes);
}

function sendNotes(): void {
  for (const renewal of noted) void renewal.sendNotes();
  noted.clear();
}

/** The worker's own connection stands, so this one will, too. */
async function connected(options: NatsOptions): Promise<Nats> {
  for (;;) {
    try {
      return await connectNats(options);
    } catch {
      await sleep(systemClock, reconnectMs);
    }
  }
}
