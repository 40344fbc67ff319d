import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { connect } from 'trivet';
import { relayBatch } from './relay-batch.ts';

// The relay: takes rows out of the outbox and enqueues them, for as long as it runs. DATABASE_URL says where PostgreSQL
// is, NATS_URL where NATS is. Run one, or several for when one dies; run it under something that starts it again.

/** Rows of one transaction. They stay locked while their messages are on the way. */
const rowsMax = Number(process.env['OUTBOX_BATCH'] ?? 500);
/** How long it waits before it looks again when there was nothing to do. */
const idleMs = 200;
/** How long it waits after the database or the queue could not be reached. */
const troubleMs = 1_000;
/** Longer than the longest wait for the queue's answer (30 s). A relay that lost its network gives its rows back then. */
const transactionMsMax = 60_000;

const stopped = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.abort());

const trivet = await connect({ name: 'outbox-relay' });
while (!stopped.signal.aborted) {
  try {
    await relayFromDatabase();
  } catch (error) {
    await trouble(error instanceof Error ? error.message : String(error));
  }
}
await trivet.close();

/** Relays until it is told to stop; rejects when the connection is lost. A new one is made then, since it is cheap. */
async function relayFromDatabase(): Promise<void> {
  const database = new pg.Client({
    connectionString: process.env['DATABASE_URL'],
    application_name: 'outbox-relay',
    idle_in_transaction_session_timeout: transactionMsMax,
    keepAlive: true,
  });
  // The query that is under way rejects as well, and is where it is dealt with.
  database.on('error', () => undefined);
  await database.connect();
  try {
    while (!stopped.signal.aborted) {
      const { rows, reason } = await relayBatch(database, trivet, rowsMax);
      if (reason !== undefined) await trouble(reason);
      else if (rows === 0) await pause(idleMs);
    }
  } finally {
    await database.end().catch(() => undefined);
  }
}

async function trouble(reason: string): Promise<void> {
  process.stderr.write(`outbox-relay: ${reason}; trying again\n`);
  await pause(troubleMs);
}

/** Ends early when the relay is told to stop. */
async function pause(ms: number): Promise<void> {
  await delay(ms, undefined, { signal: stopped.signal }).catch(() => undefined);
}
