import { parentPort, workerData } from 'node:worker_threads';
import { refuse } from '#shared/protocol/errors.ts';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import { type Nats, type NatsOptions, connectNats } from '#shared/runtime/nats.ts';
import type { LeaseNews } from './lease-renewal.ts';
import { type KeeperCommand, LeaseRounds } from './lease-rounds.ts';
import { requestReply } from './request.ts';

// The thread that keeps leases: it has a connection of its own, so a handler that blocks its thread keeps its item.

/** What the thread tells: that it keeps leases from now on, or news of one worker's. */
export type KeeperReport =
  { readonly kind: 'ready' } | { readonly kind: 'news'; readonly worker: number; readonly news: LeaseNews };

/** After a connection could not be made. */
const reconnectMs = 500;

const port = parentPort;
if (port === null) throw new Error('this file is run as a thread by lease-keeper.ts');
const tell = (report: KeeperReport): void => port.postMessage(report);
let nats: Nats | undefined;
const rounds = new LeaseRounds({
  clock: systemClock,
  send: async (subject, body, options) => {
    if (nats === undefined) return refuse('unavailable', 'there is no connection to NATS yet');
    return requestReply(nats, subject, body, options);
  },
  tell: (worker, news) => tell({ kind: 'news', worker, news }),
});

port.on('message', (command: KeeperCommand) => rounds.take(command));
nats = await connected(workerData as NatsOptions);
tell({ kind: 'ready' });

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
