import { type JetStreamManager, JetStreamApiError, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Unpackr } from 'msgpackr';
import { type AuditedMember, FlowAuditor } from './flow-auditor.ts';
import { auditedItems } from './audited-items.ts';
import type { RunningNatsServer } from './nats-server.ts';

// Reads the log of the queue without any code of the broker: its own decoding, and its own idea of what may follow
// what. Two programs that agree on a hundred thousand items are better evidence than one that counts for itself.

export interface AuditedItem {
  readonly id: string;
  readonly queue: string;
  readonly key: string | undefined;
  readonly state: string;
  /** Times that it came into a terminal state. */
  readonly ends: number;
  /** Claims of it that the log holds. */
  readonly claims: number;
  /** Every token that was given out for it, in order. */
  readonly tokens: readonly number[];
}

export interface AuditedFence {
  readonly partition: number;
  readonly sequence: number;
  readonly broker: string;
}

export interface Audit {
  readonly items: ReadonlyMap<string, AuditedItem>;
  readonly fences: readonly AuditedFence[];
  readonly records: number;
  /** Records that no broker wrote. */
  readonly foreign: number;
  /** Items of flows, by id; and flows whose items do not all exist or are not all released. */
  readonly members: ReadonlyMap<string, AuditedMember>;
  readonly openFlows: number;
  /** How long after their time delayed items and retries became pending, in milliseconds; in the order of the log. */
  readonly lateMs: readonly number[];
  /** Whatever must not be, as sentences. */
  readonly faults: readonly string[];
}

type Fact = Readonly<Record<string, unknown>> & { readonly kind: string };
interface Batch {
  readonly epoch: number;
  readonly at: number;
  /** An item without anything special about it stands there as bytes. */
  readonly facts: readonly (Fact | Uint8Array)[];
}

interface MutableItem {
  id: string;
  queue: string;
  key: string | undefined;
  state: string;
  ends: number;
  claims: number;
  tokens: number[];
  /** When it is due, should it wait. */
  runAt?: number | undefined;
}

/** Which states each fact may find an item in. */
const comesFrom: Readonly<Record<string, readonly string[]>> = {
  claimed: ['pending'],
  completed: ['processing'],
  failed: ['processing'],
  extended: ['processing'],
  logged: ['processing'],
  released: ['processing'],
  'lease-expired': ['processing'],
  due: ['scheduled', 'retry'],
  expired: ['scheduled', 'blocked', 'pending', 'retry'],
  cancelled: ['scheduled', 'blocked', 'pending', 'processing', 'retry'],
  replayed: ['failed'],
  unblocked: ['blocked'],
  'child-failed': ['blocked'],
  reprioritized: ['scheduled', 'blocked', 'pending', 'retry'],
  updated: ['scheduled', 'blocked', 'pending', 'retry'],
  replaced: ['scheduled', 'blocked', 'pending', 'retry'],
  purged: ['scheduled', 'blocked', 'pending', 'processing', 'retry', 'done', 'failed', 'cancelled'],
};

/** The header that every record of a broker carries. */
const writtenBy = 'Trivet-Broker';

const terminal = new Set(['done', 'failed', 'cancelled']);
/** Facts that are not about items. */
const aside = new Set([
  'queue-paused',
  'queue-forgotten',
  'configured',
  'schedule-set',
  'schedule-removed',
  'swept',
]);

const unpackr = new Unpackr({ useRecords: true, mapsAsObjects: true, int64AsType: 'number' });

/** Reads every log stream of the server from the first record that it still holds to its last. */
export async function auditLog(server: RunningNatsServer, prefix = 'trivet'): Promise<Audit> {
  const connection = await connect({
    servers: server.url,
    user: server.user,
    pass: server.password,
    inboxPrefix: '_INBOX_TRIVET',
  });
  try {
    const manager = await jetstreamManager(connection);
    const auditor = new Auditor();
    for (let partition = 0; ; partition += 1) {
      const stream = `${prefix.toUpperCase()}_LOG_${partition}`;
      const known = await sequences(manager, stream);
      if (known === undefined) return auditor.audit();
      const { first, last } = known;
      auditor.beginPartition(partition);
      if (last < first || last === 0) continue;
      const consumer = await jetstream(connection).consumers.get(stream, { opt_start_seq: first });
      // By bytes: hundreds of large records at once are more than the server holds ready for one connection. It would
      // cut it, and the reading would go on half a minute later.
      const messages = await consumer.consume({ max_bytes: 16 * 1_024 ** 2 });
      for await (const message of messages) {
        const kind = message.subject === `${prefix}.fence.${partition}` ? 'fence' : 'batch';
        auditor.take(message.seq, message.headers?.has(writtenBy) ? kind : 'foreign', message.data);
        if (message.seq >= last) break;
      }
      await messages.close();
    }
  } finally {
    await connection.close();
  }
}

async function sequences(
  manager: JetStreamManager,
  stream: string,
): Promise<{ first: number; last: number } | undefined> {
  try {
    const { state } = await manager.streams.info(stream);
    return { first: Math.max(1, state.first_seq), last: state.last_seq };
  } catch (error) {
    if (error instanceof JetStreamApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** Folds the records of one partition after the other. */
class Auditor {
  readonly #items = new Map<string, MutableItem>();
  readonly #keys = new Map<string, string>();
  readonly #fences: AuditedFence[] = [];
  readonly #faults: string[] = [];
  readonly #flows = new FlowAuditor();
  #records = 0;
  #foreign = 0;
  #partition = 0;
  /** Of the last record; undefined before the first one. */
  #sequence: number | undefined;
  /** Undefined in a log whose beginning is gone, until its first record. */
  #epoch: number | undefined = 0;
  #isTruncated = false;
  #at = 0;
  readonly #ingested = new Map<string, number>();
  readonly #lateMs: number[] = [];
  readonly #slots = new Map<string, number>();

  beginPartition(partition: number): void {
    this.#partition = partition;
    this.#sequence = undefined;
    this.#at = 0;
    this.#ingested.clear();
    this.#slots.clear();
  }

  take(sequence: number, kind: 'fence' | 'batch' | 'foreign', data: Uint8Array): void {
    this.#records += 1;
    if (this.#sequence === undefined) this.#beginAt(sequence);
    else if (sequence !== this.#sequence + 1) this.#fault(`record ${sequence} follows ${this.#sequence}`);
    this.#sequence = sequence;
    if (kind === 'foreign') {
      this.#foreign += 1;
      return;
    }
    const record = unpackr.unpack(data) as Batch & { readonly broker?: string; readonly renewed?: boolean };
    if (kind === 'fence') {
      this.#epoch = sequence;
      // One that an owner raised over its own is no other reign.
      if (record.renewed !== true)
        this.#fences.push({ partition: this.#partition, sequence, broker: record.broker ?? '' });
      return;
    }
    this.#epoch ??= record.epoch;
    if (record.epoch !== this.#epoch)
      this.#fault(`record ${sequence} carries fence ${record.epoch}, in force is ${this.#epoch}`);
    if (record.at < this.#at) this.#fault(`record ${sequence} is older than the one before it`);
    this.#at = record.at;
    for (const fact of record.facts) {
      const read = fact instanceof Uint8Array ? auditedItems(fact) : [fact];
      for (const one of read) this.#fold(one, sequence);
    }
  }

  /** A log that was truncated begins with any record, and speaks of items that it does not introduce. */
  #beginAt(sequence: number): void {
    this.#isTruncated = sequence > 1;
    this.#epoch = this.#isTruncated ? undefined : 0;
  }

  audit(): Audit {
    return {
      items: this.#items,
      fences: this.#fences,
      records: this.#records,
      foreign: this.#foreign,
      members: this.#flows.members,
      openFlows: this.#flows.open,
      lateMs: this.#lateMs,
      faults: [...this.#faults, ...this.#flows.faults()],
    };
  }

  #fold(fact: Fact, sequence: number): void {
    if (aside.has(fact.kind)) return;
    if (this.#flows.take(this.#idOf(Number(fact['order'])), fact)) return;
    if (fact.kind === 'slot-passed') return this.#passSlot(fact);
    if (fact.kind === 'ingested') return this.#ingest(fact);
    if (fact.kind === 'enqueued') return this.#enqueue(fact);
    const allowed = comesFrom[fact.kind];
    if (allowed === undefined) return this.#fault(`record ${sequence} holds a fact of kind ${fact.kind}`);
    for (const order of ordersOf(fact)) {
      const item = this.#items.get(this.#idOf(order)) ?? this.#fromBefore(order);
      if (item === undefined) this.#fault(`${fact.kind} of item ${order}, which was never enqueued`);
      else if (allowed.includes(item.state) || item.state === 'unknown') this.#step(item, fact, sequence);
      else this.#fault(`${fact.kind} of item ${item.id}, which is ${item.state}`);
    }
  }

  #step(item: MutableItem, fact: Fact, sequence: number): void {
    if (fact.kind === 'claimed') {
      item.claims += 1;
      if (sequence <= (item.tokens.at(-1) ?? 0)) this.#fault(`the token of item ${item.id} did not grow`);
      item.tokens.push(sequence);
      this.#flows.begin(item.id, 'handed out');
    }
    if (fact.kind === 'due') this.#due(item);
    item.runAt = timeOf(fact['runAt']) ?? timeOf(fact['nextAttemptAt']) ?? item.runAt;
    if (fact.kind === 'unblocked') item.state = this.#unblocked(item);
    else item.state = nextState(item.state, fact, this.#at);
    if (terminal.has(item.state)) item.ends += 1;
    if (fact.kind === 'replayed') {
      item.ends = 0;
      this.#flows.replay(item.id);
    }
    if (fact.kind === 'purged' && this.#keys.get(`${item.queue}\n${item.key}`) === item.id)
      this.#keys.delete(`${item.queue}\n${item.key}`);
  }

  #due({ id, runAt }: MutableItem): void {
    if (runAt === undefined) return;
    if (runAt > this.#at) this.#fault(`item ${id} is due ${runAt - this.#at} ms before its time`);
    this.#lateMs.push(this.#at - runAt);
  }

  /** An item that was enqueued in the part of the log that is gone: whatever is said of it first is taken for true. */
  #fromBefore(order: number): MutableItem | undefined {
    if (!this.#isTruncated) return undefined;
    const id = this.#idOf(order);
    const item = { id, queue: '', key: undefined, state: 'unknown', ends: 0, claims: 0, tokens: [] };
    this.#items.set(id, item);
    return item;
  }

  #enqueue(fact: Fact): void {
    const id = this.#idOf(Number(fact['order']));
    if (this.#items.has(id)) this.#fault(`item ${id} was enqueued twice`);
    const queue = String(fact['queue']);
    const key = typeof fact['key'] === 'string' ? fact['key'] : undefined;
    const name = `${queue}\n${key}`;
    const supersedes = typeof fact['supersedes'] === 'number' ? this.#idOf(fact['supersedes']) : undefined;
    const holder = this.#keys.get(name) ?? (this.#isTruncated ? supersedes : undefined);
    if (key !== undefined && holder !== supersedes)
      this.#fault(`key ${key} of queue ${queue} stands for ${this.#keys.get(name)} and for ${id}`);
    if (key !== undefined) this.#keys.set(name, id);
    const refused = fact['refused'] !== undefined;
    const waits = typeof fact['runAt'] === 'number' && fact['runAt'] > this.#at;
    const begun = fact['blocked'] === true ? 'blocked' : waits ? 'scheduled' : 'pending';
    const state = refused ? 'failed' : begun;
    this.#items.set(id, {
      id,
      queue,
      key,
      state,
      ends: refused ? 1 : 0,
      claims: 0,
      tokens: [],
      runAt: timeOf(fact['runAt']),
    });
  }

  #unblocked({ id }: MutableItem): string {
    this.#flows.begin(id, 'let go');
    return (this.#flows.members.get(id)?.runAt ?? 0) > this.#at ? 'scheduled' : 'pending';
  }

  /** Slots only go forward, and what one made carries its time. */
  #passSlot(fact: Fact): void {
    const { slot, order } = fact;
    if (typeof slot !== 'number') return;
    const name = `${String(fact['queue'])} ${String(fact['name'])}`;
    if (slot <= (this.#slots.get(name) ?? 0)) this.#fault(`slot ${slot} of ${name} came twice, or too late`);
    if (slot > this.#at) this.#fault(`slot ${slot} of ${name} came before its time`);
    this.#slots.set(name, slot);
    const made = typeof order === 'number' ? this.#items.get(this.#idOf(order)) : undefined;
    if (typeof order === 'number' && made === undefined) this.#fault(`slot ${slot} of ${name} made no item`);
  }

  #ingest(fact: Fact): void {
    const stream = String(fact['stream']);
    const sequence = Number(fact['sequence']);
    if (sequence <= (this.#ingested.get(stream) ?? 0))
      this.#fault(`publish ${sequence} was taken in again, or out of order`);
    this.#ingested.set(stream, sequence);
  }

  #idOf(order: number): string {
    return `${this.#partition.toString(36)}-${order.toString(36)}`;
  }

  #fault(problem: string): void {
    this.#faults.push(`partition ${this.#partition}: ${problem}`);
  }
}

function nextState(state: string, fact: Fact, at: number): string {
  const again = fact['mayRetry'] === true;
  switch (fact.kind) {
    case 'claimed':
      return 'processing';
    case 'completed':
      return 'done';
    case 'failed':
      return again ? 'retry' : 'failed';
    case 'lease-expired':
      return again ? 'pending' : 'failed';
    case 'released':
      return fact['runAt'] === undefined ? 'pending' : 'scheduled';
    case 'due':
    case 'replayed':
      return 'pending';
    case 'updated':
    case 'replaced':
      if (state === 'blocked' || typeof fact['runAt'] !== 'number') return state;
      return fact['runAt'] > at ? 'scheduled' : 'pending';
    case 'expired':
    case 'child-failed':
      return 'failed';
    case 'cancelled':
      return 'cancelled';
    case 'purged':
      return 'purged';
    default:
      return state;
  }
}

const timeOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

const ordersOf = (fact: Fact): readonly number[] =>
  Array.isArray(fact['orders']) ? (fact['orders'] as number[]) : [Number(fact['order'])];
