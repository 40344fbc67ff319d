import pg from 'pg';
import { expect } from 'vitest';
import type { RunningOutbox } from './running-outbox.ts';

/**
 * Holds relays between the acknowledgement of their messages and the commit that forgets the rows: the moment at which
 * an end of anything is hardest to get right. Rows can be read and locked meanwhile.
 */
export interface CommitGate {
  /** Resolves when so many relays stand before the gate, their messages acknowledged. */
  closeBefore(relays: number): Promise<void>;
  open(): Promise<void>;
  end(): Promise<void>;
}

export async function makeCommitGate(outbox: RunningOutbox): Promise<CommitGate> {
  await outbox.query(`
    CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN OLD; END $$;
    CREATE TRIGGER gate BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION pass_gate();`);
  const keeper = new pg.Client({ connectionString: outbox.postgres.url });
  // It goes with the database, when that is killed.
  keeper.on('error', () => undefined);
  await keeper.connect();
  const before = async (): Promise<number> => {
    const locks = await outbox.query<{ count: string }>(
      `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`,
    );
    return Number(locks[0]?.count);
  };
  return {
    closeBefore: async (relays) => {
      await keeper.query('SELECT pg_advisory_lock(1)');
      await expect.poll(before, { timeout: 30_000 }).toBe(relays);
    },
    open: async () => {
      await keeper.query('SELECT pg_advisory_unlock(1)');
    },
    end: () => keeper.end().catch(() => undefined),
  };
}
