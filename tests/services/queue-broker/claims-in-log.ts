import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Unpackr } from 'msgpackr';
import { auditedItems } from '#tests/support/audited-items.ts';
import type { RunningNatsServer } from '#tests/support/nats-server.ts';
import { partitions } from './running-queue.ts';

/** One claim as the log holds it: no broker's word, and no client's. */
export interface LoggedClaim {
  readonly order: number;
  readonly group: string | undefined;
  /** Time of its record. */
  readonly at: number;
  /** Leases that the queue, and the item's group, had with this one. */
  readonly leases: number;
  readonly groupLeases: number;
}

type Fact = Readonly<Record<string, unknown>> & { readonly kind: string };

const unpackr = new Unpackr({ useRecords: true, mapsAsObjects: true, int64AsType: 'number' });
const endsLease = new Set(['completed', 'failed', 'released', 'lease-expired', 'cancelled']);

/** Every claim of one queue, in the order of the log, read without any code of the broker. */
export async function claimsInLog(server: RunningNatsServer, queue: string): Promise<readonly LoggedClaim[]> {
  const connection = await connect({
    servers: server.url,
    user: server.user,
    pass: server.password,
    inboxPrefix: '_INBOX_TRIVET',
  });
  try {
    const manager = await jetstreamManager(connection);
    const claims: LoggedClaim[] = [];
    for (let partition = 0; partition < partitions; partition += 1) {
      const stream = `TRIVET_LOG_${partition}`;
      const last = (await manager.streams.info(stream)).state.last_seq;
      const fold = new QueueFold(queue, claims);
      const consumer = await jetstream(connection).consumers.get(stream, { opt_start_seq: 1 });
      const messages = await consumer.consume({ max_messages: 500 });
      for await (const message of messages) {
        if (message.subject === `trivet.log.${partition}`) fold.take(message.data);
        if (message.seq >= last) break;
      }
      await messages.close();
    }
    return claims;
  } finally {
    await connection.close();
  }
}

class QueueFold {
  readonly #queue: string;
  readonly #claims: LoggedClaim[];
  readonly #groups = new Map<number, string | undefined>();
  readonly #leased = new Set<number>();

  constructor(queue: string, claims: LoggedClaim[]) {
    this.#queue = queue;
    this.#claims = claims;
  }

  take(data: Uint8Array): void {
    const { at, facts } = unpackr.unpack(data) as { at: number; facts: readonly (Fact | Uint8Array)[] };
    for (const fact of facts.flatMap((one) => (one instanceof Uint8Array ? auditedItems(one) : [one]))) {
      if (fact.kind === 'enqueued' && fact['queue'] === this.#queue)
        this.#groups.set(Number(fact['order']), fact['group'] as string | undefined);
      for (const order of ordersOf(fact)) {
        if (!this.#groups.has(order)) continue;
        if (fact.kind === 'claimed') this.#claim(order, at);
        else if (endsLease.has(fact.kind)) this.#leased.delete(order);
      }
    }
  }

  #claim(order: number, at: number): void {
    this.#leased.add(order);
    const group = this.#groups.get(order);
    const groupLeases = [...this.#leased].filter((one) => this.#groups.get(one) === group).length;
    this.#claims.push({ order, group, at, leases: this.#leased.size, groupLeases });
  }
}

const ordersOf = (fact: Fact): readonly number[] =>
  Array.isArray(fact['orders']) ? (fact['orders'] as number[]) : [Number(fact['order'])];

/** The most claims that any window of `perMs` holds, wherever it is laid: one that begins at a claim holds the most. */
export function fullestWindow(claims: readonly LoggedClaim[], perMs: number): number {
  const times = claims.map(({ at }) => at);
  return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + perMs).length));
}
