import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import type { AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type Msg, type Nats, type Subscription, headers, subscribe } from '#shared/runtime/nats.ts';
import { alertAnnouncer, kvAlertStore, webhookCaller } from './alert-notices.ts';
import { AlertWatch } from './alert-watch.ts';
import { type Answers, tailView } from './answers.ts';
import { ClusterAnswers } from './cluster-answers.ts';
import type { LogEntry } from './core/interpret.ts';
import type { HeldMessages } from './held-messages.ts';
import type { Delivery, Position } from './inbox.ts';
import { Peers } from './peers.ts';
import { deliveryOf } from './pull-requests.ts';
import { Redeliveries } from './redeliveries.ts';
import { Tails } from './tails.ts';
import { ackPendingMax } from './telemetry-stream.ts';
import type { Totals } from './totals.ts';

export interface ClusterPartOptions {
  readonly name: string;
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly replicas: number;
  readonly alertMs: number;
  readonly own: Answers;
  readonly totals: Totals;
  readonly held: HeldMessages;
  readonly take: (delivery: Delivery) => void;
  readonly position: () => Promise<Position>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What of a message's headers means something to a collector. */
const handedHeaders = ['Content-Type', 'traceparent', 'tracestate'];

/**
 * The headers that keep a message's subject, and where it is acknowledged, while it is handed from one collector to
 * another. nats-server lets no client publish with JetStream's place of acknowledgement as the reply subject.
 */
const subjectHeader = 'Trivet-Subject';
const acknowledgementHeader = 'Trivet-Acknowledgement';

/** What a collector does together with the others: who counts what, whole answers, tails and alerts. */
export class ClusterPart {
  readonly #options: ClusterPartOptions;
  readonly #peers: Peers;
  readonly #redeliveries: Redeliveries;
  readonly #tails: Tails;
  readonly #alerts: AlertWatch;
  readonly answers: ClusterAnswers;
  #handed: Subscription | undefined;

  constructor(options: ClusterPartOptions) {
    this.#options = options;
    const { name, nats, subjects, streams, replicas, own, totals, held, take, clock, log } = options;
    const isOwn = (sequence: number) => totals.isCounted(sequence) || held.has(sequence);
    this.#peers = new Peers({ nats, subjects, streams, name, replicas, clock, log });
    this.#redeliveries = new Redeliveries({
      peers: this.#peers,
      position: options.position,
      pendingMax: ackPendingMax,
      isOwn,
      take,
      handOver: (delivery, collector) => this.#handOver(delivery, collector),
      clock,
    });
    this.#tails = new Tails({
      publish: (inbox, body) => nats.connection.publish(inbox, body),
      view: tailView,
      clock,
    });
    this.answers = new ClusterAnswers({
      collector: name,
      own,
      peers: this.#peers,
      tails: this.#tails,
      alerts: () => this.#alerts.states,
      isOwn,
    });
    this.#alerts = new AlertWatch({
      store: kvAlertStore(nats, streams.alerts, replicas),
      isJudge: () => this.#peers.isFirstAlive(),
      read: () => this.answers.alerting(),
      announce: alertAnnouncer(nats, subjects),
      call: webhookCaller(clock, log),
      everyMs: options.alertMs,
      clock,
      log,
    });
  }

  /** @param ports where this collector receives OTLP, for the others to ask */
  async join(ports: () => readonly number[]): Promise<void> {
    const { nats, subjects, name } = this.#options;
    this.#handed = subscribe(nats, subjects.telemetryHand(name), {}, (message) => this.#receive(message));
    await this.#peers.join((operation, body) => {
      if (operation === 'ports') return ports();
      return operation === 'alive' ? true : this.answers.part(operation, body);
    });
    this.#alerts.start();
  }

  /** Whether another collector receives OTLP on this port. */
  async receivesElsewhere(port: number): Promise<boolean> {
    const { answers } = await this.#peers.gather('ports', {});
    return answers.some(({ value }) => Array.isArray(value) && value.includes(port));
  }

  async leave(): Promise<void> {
    // Nobody needs to wait for one that owes no acknowledgement.
    if (this.#options.held.messages === 0) await this.#peers.unregister();
    this.#peers.leave();
    this.#handed?.unsubscribe();
    await this.#alerts.stop();
  }

  take(delivery: Delivery): void {
    this.#redeliveries.take(delivery);
  }

  /** The server was lost, or did not answer: what it has delivered it may have forgotten. */
  interrupted(): void {
    this.#redeliveries.interrupted();
  }

  /** Resolves once it is known how much of that there may be. */
  resume(): Promise<void> {
    return this.#redeliveries.resume();
  }

  useAlerts(rules: readonly AlertRule[]): void {
    this.#alerts.use(rules);
  }

  /** Shows what is kept to those who watch. */
  show(entries: readonly LogEntry[]): void {
    this.#tails.offer(entries);
  }

  /** The message as JetStream gave it, with where it is acknowledged: the one that counted it finishes it. */
  #handOver(delivery: Delivery, collector: string): void {
    const { nats, subjects } = this.#options;
    const written = headers();
    for (const name of handedHeaders) {
      const value = delivery.headers?.get(name) ?? '';
      if (value !== '') written.set(name, value);
    }
    written.set(subjectHeader, delivery.subject);
    written.set(acknowledgementHeader, delivery.reply);
    nats.connection.publish(subjects.telemetryHand(collector), delivery.body, { headers: written });
  }

  #receive(message: Msg): void {
    const { nats, take } = this.#options;
    const reply = message.headers?.get(acknowledgementHeader) ?? '';
    if (!reply.startsWith('$JS.ACK.')) return;
    const delivery = deliveryOf(nats, message, reply);
    take({ ...delivery, subject: message.headers?.get(subjectHeader) ?? '' });
  }
}
