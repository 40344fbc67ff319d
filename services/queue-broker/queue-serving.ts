import { priorities } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { formatTime } from '#shared/protocol/times.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Nats, type Subscription, subscribe } from '#shared/runtime/nats.ts';
import { Callers } from './callers.ts';
import { itemId } from './core/item.ts';
import type { StateEvent } from './core/state-event.ts';
import { FlowCourier } from './flow-courier.ts';
import type { Observer } from './observation.ts';
import type { Partition } from './partition.ts';
import type { PartitionOptions } from './partition-options.ts';
import { QueueService } from './queue-service.ts';
import { QueueStatistics } from './queue-statistics.ts';
import { WorkerRegistry } from './worker-registry.ts';
import type { AfterCommit } from './work.ts';

/** The queue group of the brokers: a request goes to one of them. */
export const brokerGroup = 'trivet-queue';

export interface QueueServingOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly observer: Observer;
}

/** What has been served since `serve`. */
export interface Served {
  readonly courier: FlowCourier;
  readonly subscriptions: readonly Subscription[];
}

/**
 * Partitions as the rest of the world sees them: requests, replies and live events. The same for a broker on
 * JetStream and for the queue in memory that users test with, so that whatever one of them answers the other does, too.
 */
export class QueueServing {
  readonly #options: QueueServingOptions;
  readonly #statistics = new QueueStatistics();
  readonly #workers = new WorkerRegistry();
  readonly #callers: Callers;
  #service: QueueService | undefined;

  constructor(options: QueueServingOptions) {
    this.#options = options;
    this.#callers = new Callers({ ...options, unclaimed: (lease) => this.#service?.release(lease) });
  }

  /** Answers for these partitions, until the subscriptions end and `end` is called. */
  serve(partitions: readonly Partition[]): Served {
    const { nats, subjects } = this.#options;
    const courier = new FlowCourier(partitions);
    const service = new QueueService({
      ...this.#options,
      partitions,
      callers: this.#callers,
      courier,
      statistics: this.#statistics,
      workers: this.#workers,
    });
    this.#service = service;
    const group = { queue: brokerGroup };
    const subscriptions = [
      subscribe(nats, subjects.queueAll, group, (message) => service.receive(message)),
      subscribe(nats, subjects.queueOwnedAll, group, (message) => service.receive(message)),
      subscribe(nats, subjects.queueStats, group, (message) => service.receiveOverall(message, 'stats')),
      subscribe(nats, subjects.queueList, group, (message) => service.receiveOverall(message, 'list')),
    ];
    return { courier, subscriptions };
  }

  /** The partitions are not ours any more. */
  end(): void {
    this.#service = undefined;
  }

  /** What the partitions tell of themselves, whoever holds them. */
  get hooks(): Required<Pick<PartitionOptions, 'announcement' | 'appended' | 'forgot'>> {
    return {
      announcement: (partition, events, at) => this.#announcement(partition, events, at),
      appended: (durationMs, facts) => this.#options.observer.appended(durationMs, facts),
      forgot: (queues) => queues.forEach((queue) => this.#statistics.forget(queue)),
    };
  }

  /** Live events: one message per queue, state and commit; never a payload, result or error. */
  #announcement(partition: number, events: readonly StateEvent[], at: number): AfterCommit {
    const { nats, subjects, observer } = this.#options;
    const when = formatTime(at);
    const bySubject = new Map<string, string>();
    // Mostly many of one queue and state stand together: their subject is made and looked up once.
    let subject = '';
    let list = '';
    let last: StateEvent | undefined;
    let rest = '';
    for (const event of events) {
      const { order, band, attempt } = event;
      // Nothing of it can hold what JSON must escape.
      if (band !== last?.band || attempt !== last.attempt)
        rest = `","priority":"${priorities[band]}","attempt":${attempt},"at":"${when}"}`;
      if (event.queue !== last?.queue || event.state !== last.state) {
        if (last !== undefined) bySubject.set(subject, list);
        subject = subjects.queueEvents(event.queue, event.state);
        list = bySubject.get(subject) ?? '';
      }
      last = event;
      list += `${list === '' ? '{"id":"' : ',{"id":"'}${itemId(partition, order)}${rest}`;
    }
    if (last !== undefined) bySubject.set(subject, list);
    // Names, ids, states and times are ASCII.
    const messages = [...bySubject].map(([to, texts]) => ({ to, body: Buffer.from(`[${texts}]`, 'latin1') }));
    return () => {
      this.#statistics.add(events, at);
      this.#workers.add(events, at);
      observer.changed(events);
      for (const { to, body } of messages) nats.connection.publish(to, body);
    };
  }
}
