import type {
  Claimed,
  Enqueued,
  Fact,
  Failed,
  Replaced,
  Updated,
} from '#services/queue-broker/core/facts.ts';
import { decodeBatch, decodeFence } from '#services/queue-broker/fact-codec.ts';
import type { LogRecord } from '#services/queue-broker/partition-log.ts';
import { LimitModel } from './limit-model.ts';
import { type Ending, type ModelItem, admitted, isFinal, isOverdue, mustBeNext } from './model-item.ts';
import { ModelFinished, type ModelRetention } from './model-finished.ts';
import { ModelKeys } from './model-keys.ts';
import { must } from './must.ts';
import { ScheduleModel } from './schedule-model.ts';
import type { Submitted } from './submitted.ts';

/** A request may join a record that began so long ago: its delays count from when it was decided, not from then. */
const groupAgeMsMax = 20;

/**
 * What a queue is, in the plainest words: a list of items. It reads the log on its own and holds every record against
 * the rules and against what was asked for. It shares no code with the broker but the codec of the log.
 */
export class QueueModel {
  readonly #submitted: Submitted;
  readonly items = new Map<number, ModelItem>();
  /** Every item that there ever was: what became of a swept one must still be known. */
  readonly all = new Map<number, ModelItem>();
  readonly paused = new Set<string>();
  /** Record at which a queue was last paused or resumed. */
  readonly pauseChanged = new Map<string, number>();
  readonly schedules: ScheduleModel;
  /** The item that was enqueued last. */
  #newest = 0;
  readonly #keys = new ModelKeys();
  readonly #limits: LimitModel;
  readonly #finished: ModelFinished;
  #places = 0;
  #epoch = 0;
  sequence = 0;
  at = 0;

  constructor(submitted: Submitted, retention: ModelRetention) {
    this.#submitted = submitted;
    this.schedules = new ScheduleModel(submitted);
    this.#limits = new LimitModel(submitted);
    this.#finished = new ModelFinished(retention);
  }

  /** Takes a record of the log, or throws the sentence that it breaks. */
  take(record: LogRecord): void {
    must(record.sequence === this.sequence + 1, `record ${record.sequence} follows record ${this.sequence}`);
    this.sequence = record.sequence;
    if (record.kind === 'foreign') return;
    if (record.kind === 'fence') {
      const fence = decodeFence(record.data, record.sequence);
      this.#epoch = record.sequence;
      this.at = Math.max(this.at, fence.at);
      // The owner itself: its workers had somebody to extend their leases with all the time.
      if (fence.renewed === true) return;
      for (const item of this.items.values())
        if (item.lease !== undefined) item.lease = { ...item.lease, expiresAt: this.at + item.lease.leaseMs };
      return;
    }
    const batch = decodeBatch(record.data, record.sequence);
    must(batch.epoch === this.#epoch, `record ${record.sequence} was written by a former owner`);
    must(batch.at >= this.at, `time runs back at record ${record.sequence}`);
    this.at = batch.at;
    for (const fact of batch.facts) this.#apply(fact);
  }

  /** True when the item was handed out under this token, whatever became of it. */
  wasClaimed(order: number, token: number): boolean {
    const item = this.all.get(order);
    return item !== undefined && (item.token === token || item.endings.has(token));
  }

  /** An item that a dequeue at `queue` could have had at any moment since the record `since`, or undefined. */
  readySince(queue: string, since: number): ModelItem | undefined {
    if (this.paused.has(queue) || (this.pauseChanged.get(queue) ?? 0) > since) return undefined;
    if (this.#limits.limited(queue, since)) return undefined;
    return [...this.items.values()].find(
      (item) =>
        item.queue === queue &&
        item.state === 'pending' &&
        item.readySince <= since &&
        item.expiresAt > this.at,
    );
  }

  /** The item that is processing under this token, or undefined. */
  holder(order: number, token: number): ModelItem | undefined {
    const item = this.items.get(order);
    return item?.state === 'processing' && item.token === token ? item : undefined;
  }

  /** Items that time should have changed before `nowMs`. */
  overdue(nowMs: number): readonly ModelItem[] {
    return [...this.items.values()].filter((item) => isOverdue(item, nowMs));
  }

  /** The items that a claim holds now and held already at the record `since`. */
  heldBy(queue: string, claim: string | undefined, since: number): readonly ModelItem[] {
    if (claim === undefined) return [];
    return [...this.items.values()].filter(
      (item) => item.queue === queue && item.lease?.claim === claim && item.token <= since,
    );
  }

  #apply(fact: Fact): void {
    switch (fact.kind) {
      case 'enqueued':
        return this.#enqueue(fact);
      case 'claimed':
        return this.#claim(fact);
      case 'completed':
        return fact.orders.forEach((order) => {
          const item = this.#leased(order);
          must(
            this.#submitted.has('complete', order, item.token),
            `nobody completed item ${order} with its token`,
          );
          this.#endLease(item, 'done');
          this.#finish(item, 'done');
        });
      case 'failed':
        return this.#fail(fact);
      case 'extended': {
        const item = this.#leased(fact.order);
        must(
          this.#submitted.has('extend', fact.order, item.token),
          `nobody extended item ${fact.order} with its token`,
        );
        item.lease = { ...item.lease, leaseMs: fact.leaseMs, expiresAt: this.at + fact.leaseMs };
        return;
      }
      case 'released': {
        const item = this.#leased(fact.order);
        const delayMs = fact.runAt === undefined ? 0 : fact.runAt - this.at;
        must(
          this.#submitted.hasDelay(['release', fact.order, item.token], delayMs, groupAgeMsMax),
          `nobody released item ${fact.order} with its token for ${delayMs} ms`,
        );
        const state = fact.runAt === undefined ? 'pending' : 'scheduled';
        this.#endLease(item, state);
        item.attempt -= 1;
        item.state = state;
        item.runAt = fact.runAt ?? 0;
        item.readySince = this.sequence;
        return;
      }
      case 'lease-expired':
        return this.#expireLease(fact.order, fact.mayRetry);
      case 'due':
        return fact.orders.forEach((order) => this.#due(order));
      case 'expired':
        return fact.orders.forEach((order) => {
          const item = this.#live(order);
          must(item.expiresAt <= this.at, `item ${order} expired before its time`);
          must(item.state !== 'processing', `item ${order} expired while somebody worked on it`);
          this.#finish(item, 'failed');
        });
      case 'cancelled': {
        const item = this.#live(fact.order);
        must(this.#submitted.has('cancel', fact.order), `nobody cancelled item ${fact.order}`);
        if (item.state === 'processing') this.#endLease(item, 'cancelled');
        return this.#finish(item, 'cancelled');
      }
      case 'replayed':
        return fact.orders.forEach((order) => this.#replay(order));
      case 'reprioritized': {
        const item = this.#live(fact.order);
        must(
          this.#submitted.has('reprioritize', fact.order, fact.band),
          `nobody moved item ${fact.order} to band ${fact.band}`,
        );
        item.band = fact.band;
        item.place = this.#place();
        return;
      }
      case 'updated':
      case 'replaced':
        return this.#edit(fact);
      case 'configured':
        this.#limits.set(fact, this.sequence);
        return this.#sweep(fact.queue);
      case 'schedule-set':
      case 'schedule-removed':
      case 'slot-passed':
        return this.schedules.take(fact, this.at, this.#newest);
      case 'queue-paused':
        return this.#pause(fact.queue, fact.paused);
      case 'swept':
        return this.#sweep(fact.queue);
      case 'purged':
        for (const order of fact.orders) this.#purge(order);
        return;
      case 'queue-forgotten':
        return this.#forget(fact.queue);
      default:
        throw new Error(`nobody asked for what is ${fact.kind}`);
    }
  }

  #pause(queue: string, paused: boolean): void {
    must(this.#submitted.has(paused ? 'pause' : 'resume', queue), `nobody stopped or let on ${queue}`);
    if (paused) this.paused.add(queue);
    else this.paused.delete(queue);
    this.pauseChanged.set(queue, this.sequence);
  }

  #enqueue(fact: Enqueued): void {
    must(!this.all.has(fact.order), `place ${fact.order} is given twice`);
    const payload = new TextDecoder().decode(fact.payload);
    must(this.#submitted.has('enqueue', fact.queue, payload), `nobody enqueued ${payload} in ${fact.queue}`);
    this.#keys.take(fact, this.at, this.items);
    const item = admitted(fact, { at: this.at, place: this.#place(), record: this.sequence });
    this.#newest = fact.order;
    this.items.set(fact.order, item);
    this.all.set(fact.order, item);
  }

  #claim(fact: Claimed): void {
    for (const order of fact.orders) {
      const item = this.#live(order);
      must(!this.paused.has(item.queue), `item ${order} was handed out though ${item.queue} is paused`);
      const all = [...this.items.values()];
      mustBeNext(item, all, this.at);
      this.#limits.claim(item, all, this.at);
      must(this.sequence > item.token, `the token of item ${order} does not grow`);
      item.state = 'processing';
      item.attempt += 1;
      item.token = this.sequence;
      item.startedAt = this.at;
      item.lease = {
        leaseMs: fact.leaseMs,
        expiresAt: this.at + fact.leaseMs,
        ...(fact.claim === undefined ? {} : { claim: fact.claim }),
      };
    }
  }

  #fail(fact: Failed): void {
    const item = this.#leased(fact.order);
    const asked = this.#submitted.failures(fact.order, item.token);
    const retries = item.attempt < item.attemptsMax && fact.mayRetry;
    must(
      asked.some((one) => (one.retry && item.attempt < item.attemptsMax) === fact.mayRetry),
      `nobody failed item ${fact.order} with its token in this way`,
    );
    must(fact.mayRetry === retries, `item ${fact.order} gets more attempts than it may have`);
    this.#endLease(item, retries ? 'retry' : 'failed');
    if (!retries) return this.#finish(item, 'failed');
    item.state = 'retry';
    item.runAt = fact.nextAttemptAt ?? 0;
    must(item.runAt >= this.at, `the next attempt of item ${fact.order} lies in the past`);
  }

  #expireLease(order: number, mayRetry: boolean): void {
    const item = this.#leased(order);
    const over = (item.lease?.expiresAt ?? 0) <= this.at || item.startedAt + item.timeoutMs <= this.at;
    must(over, `the lease of item ${order} was ended before its time`);
    must(mayRetry === item.attempt < item.attemptsMax, `the lost lease of item ${order} was charged wrongly`);
    this.#endLease(item, 'expired');
    if (mayRetry) this.#makeReady(item);
    else this.#finish(item, 'failed');
  }

  #due(order: number): void {
    const item = this.#live(order);
    must(
      item.state === 'scheduled' || item.state === 'retry',
      `item ${order} is due though it is ${item.state}`,
    );
    must(item.runAt <= this.at, `item ${order} is due before its time`);
    this.#makeReady(item);
  }

  /** What an edit does not name stays; what a replacement does not name is gone. */
  #edit(fact: Updated | Replaced): void {
    const item = this.#live(fact.order);
    const { content, band, runAt } = fact;
    must(item.state !== 'processing', `item ${fact.order} is edited while somebody works on it`);
    const payload = content === undefined ? undefined : new TextDecoder().decode(content.payload);
    const wish =
      fact.kind === 'updated'
        ? ['update', fact.order, payload ?? 'none']
        : ['replace', `${item.queue} ${item.key}`, payload ?? ''];
    const asked =
      runAt === undefined
        ? this.#submitted.has(wish.join(' '), 'none')
        : this.#submitted.hasDelay(wish, runAt - this.at, groupAgeMsMax);
    must(asked, `nobody asked for item ${fact.order} to be ${fact.kind} with ${payload} at ${runAt}`);
    if (payload !== undefined) item.payload = payload;
    item.payloads.add(item.payload);
    const goes = fact.kind === 'replaced';
    item.attemptsMax = fact.attemptsMax ?? item.attemptsMax;
    item.timeoutMs = fact.timeoutMs ?? (goes ? Number.POSITIVE_INFINITY : item.timeoutMs);
    item.expiresAt = fact.expiresAt ?? (goes ? Number.POSITIVE_INFINITY : item.expiresAt);
    must(item.attemptsMax > item.attempt, `item ${fact.order} waits and has no attempt left`);
    if (band !== undefined && band !== item.band) {
      item.band = band;
      item.place = this.#place();
    }
    if (runAt === undefined) return;
    if (runAt <= this.at) return this.#makeReady(item);
    item.state = 'scheduled';
    item.runAt = runAt;
  }

  #replay(order: number): void {
    const item = this.#known(order);
    must(item.state === 'failed', `item ${order} is replayed though it is ${item.state}`);
    must(this.#submitted.has('replay', order), `nobody replayed item ${order}`);
    this.#finished.remove(item);
    item.attempt = 0;
    item.expiresAt = Number.POSITIVE_INFINITY;
    this.#makeReady(item);
  }

  #purge(order: number): void {
    const item = this.#known(order);
    const { queue, key, state } = item;
    const all = this.#submitted.has('purge-all', queue);
    must(state !== 'processing' || all, `item ${order} was purged from under its worker`);
    must(all || this.#submitted.has('purge', order), `nobody purged item ${order}`);
    if (state === 'processing') this.#endLease(item, 'purged');
    this.items.delete(order);
    this.#finished.remove(item);
    if (key !== undefined) this.#keys.free(queue, key, order);
  }

  #forget(queue: string): void {
    this.schedules.forget(queue);
    must(this.#submitted.has('purge-all', queue), `nobody purged ${queue}`);
    const left = [...this.items.values()].find((item) => item.queue === queue);
    must(left === undefined, `${queue} was forgotten while it held item ${left?.order}`);
    this.#keys.forget(queue);
    this.#limits.forget(queue, this.sequence);
    this.paused.delete(queue);
    this.pauseChanged.set(queue, this.sequence);
  }

  #makeReady(item: ModelItem): void {
    item.state = 'pending';
    item.place = this.#place();
    item.readyAt = this.at;
    item.readySince = this.sequence;
  }

  #endLease(item: ModelItem, how: Ending): void {
    item.endings.set(item.token, how);
    item.lease = undefined;
  }

  #finish(item: ModelItem, state: 'done' | 'failed' | 'cancelled'): void {
    must(!isFinal(item), `item ${item.order} is ${state} though it was ${item.state} already`);
    item.state = state;
    item.finishedAt = this.at;
    this.#finished.add(item);
    this.#sweep(item.queue);
  }

  #sweep(queue: string): void {
    for (const { order } of this.#finished.takeOver(queue, this.at)) this.items.delete(order);
  }

  #place(): number {
    this.#places += 1;
    return this.#places;
  }

  #known(order: number): ModelItem {
    const item = this.items.get(order);
    if (item === undefined) throw new Error(`the log speaks of item ${order}, which does not exist`);
    return item;
  }

  #live(order: number): ModelItem {
    const item = this.#known(order);
    must(!isFinal(item), `item ${order} changes though it is ${item.state} already`);
    return item;
  }

  #leased(order: number): ModelItem {
    const item = this.#live(order);
    must(item.state === 'processing', `item ${order} is spoken of as leased, it is ${item.state}`);
    return item;
  }
}
