import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import type { AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Readiness, Service } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats, Subscription } from '#shared/runtime/nats.ts';
import { type AnnouncedService, announceService } from '#shared/runtime/service-protocol.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import { Answers } from './answers.ts';
import { ClusterPart } from './cluster-part.ts';
import type { DropExamples } from './core/drop-examples.ts';
import { Collector } from './collector-service.ts';
import type { Destinations } from './destinations.ts';
import type { Intake } from './intake.ts';
import type { PipelinesFile } from './pipelines-file.ts';
import { watchEventLoop } from './event-loop-delay.ts';
import type { HeldMessages } from './held-messages.ts';
import type { Backlog } from './inbox.ts';
import { type MetricsServer, serveMetrics } from './metrics-server.ts';
import { observeFigures } from './own-metrics.ts';
import { endpointName, queueGroup, serveQueries } from './queries.ts';
import type { LmdbStateStore } from './state-store.ts';
import type { TelemetryStream } from './telemetry-stream.ts';
import type { Totals } from './totals.ts';

export interface TelemetryProcessOptions {
  readonly name: string;
  readonly version: string;
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly stream: TelemetryStream;
  readonly store: LmdbStateStore;
  readonly totals: Totals;
  readonly held: HeldMessages;
  readonly collector: Collector;
  readonly destinations: Destinations;
  readonly telemetry: OwnTelemetry;
  readonly file: PipelinesFile;
  readonly intake: Intake;
  readonly streams: Streams;
  readonly replicas: number;
  readonly alertMs: number;
  readonly alerts: readonly AlertRule[];
  readonly examples: DropExamples;
  readonly ackWaitMs: number;
  readonly metricsPort: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly fail: (error: Error) => void;
}

// How often the consumer is asked what waits.
const backlogMs = 2_000;

// Of the rounds of asking, how many the markers of messages stay after these are acknowledged: a server that is killed
// may have forgotten the last acknowledgements, and then such a message comes again.
const floorsKept = 3;

// What is on its way at the end has this long to arrive; the rest stays in the stream.
const finishMsMax = 5_000;

/** The life of a collector: what it does in each part of it. */
export class TelemetryProcess implements Service {
  readonly #options: TelemetryProcessOptions;
  readonly #cluster: ClusterPart;
  #backlog: Backlog = { waiting: 0, unacknowledged: 0, redelivered: 0, ageMs: 0, acknowledgedThrough: 0 };
  #announced: AnnouncedService | undefined;
  #queries: Subscription | undefined;
  #metrics: MetricsServer | undefined;
  #pulling: Promise<void> = Promise.resolve();
  #cancelBacklog: () => void = () => undefined;
  #isDraining = false;
  readonly #floors: number[] = [];

  constructor(options: TelemetryProcessOptions) {
    this.#options = options;
    const { name, totals, held, store, destinations, clock } = options;
    const own = new Answers({
      collector: name,
      startedMs: clock.nowMs(),
      nowMs: () => clock.nowMs(),
      examples: options.examples,
      totals,
      held,
      recent: store,
      destinations: () => destinations.states,
      eventLoopDelayMs: watchEventLoop(),
      backlog: () => this.#backlog,
    });
    const { nats, subjects, streams, replicas, alertMs, collector, log } = options;
    this.#cluster = new ClusterPart({
      name,
      nats,
      subjects,
      streams,
      replicas,
      alertMs,
      own,
      totals,
      held,
      clock,
      log,
      take: (delivery) => collector.take(delivery),
      position: () => options.stream.position(),
    });
    collector.onEntries((entries) => this.#cluster.show(entries));
    this.#cluster.useAlerts(options.alerts);
  }

  async recover(): Promise<void> {
    const { stream, store, totals, destinations, log } = this.#options;
    const recovered = await store.recover(await stream.prepare());
    totals.recover(recovered);
    destinations.resume([...totals.series]);
    log.info({ series: recovered.series.length, markers: recovered.markers.size }, 'totals are read back');
  }

  async serve(): Promise<Readiness> {
    const { nats, subjects, stream, held, collector, telemetry, totals, clock, fail } = this.#options;
    await this.#askBacklog();
    held.start(Math.floor(this.#options.ackWaitMs / 3));
    this.#announced = announceService(nats, this.#description(), this.#options.name);
    this.#queries = serveQueries({
      nats,
      subjects,
      answers: this.#cluster.answers,
      announced: this.#announced,
      clock,
      log: this.#options.log,
    });
    this.#metrics = await serveMetrics(this.#options.metricsPort, (exposition) =>
      this.#cluster.answers.ownPrometheus(exposition),
    );
    observeFigures(telemetry.meter, { totals, held, backlog: () => this.#backlog });
    this.#options.file.watch(({ destinations, rules, alerts }) => {
      this.#options.destinations.apply(destinations);
      this.#options.destinations.resume([...totals.series]);
      collector.use(rules);
      this.#cluster.useAlerts(alerts);
    });
    const { intake } = this.#options;
    await this.#cluster.join(() => Object.values(intake.ports()));
    await intake.start((port) => this.#cluster.receivesElsewhere(port));
    // Whoever is told that this one serves may rely on it: from then on it asks for messages.
    await this.#cluster.resume();
    this.#pulling = stream.pull({
      room: () => held.room(),
      onDelivery: (delivery) => this.#cluster.take(delivery),
      onInterruption: () => this.#cluster.interrupted(),
      onResumption: () => this.#cluster.resume(),
    });
    this.#pulling.catch(fail);
    this.#options.log.info({ metrics: `${this.#metrics.url}/metrics` }, 'metrics are served');
    return { http: this.#metrics.url, otlp: intake.ports() };
  }

  /** Pulls nothing more, gives what is under way some time to arrive, and leaves the rest in the stream. */
  async drain(): Promise<void> {
    const { stream, held, collector, destinations, store, nats, totals, clock } = this.#options;
    this.#isDraining = true;
    this.#cancelBacklog();
    this.#options.file.stop();
    await this.#options.intake.stop();
    stream.stop();
    held.release();
    await this.#pulling;
    await collector.committed();
    await this.#finish();
    destinations.stop();
    held.stop();
    await collector.committed();
    await this.#cluster.leave();
    await store.keepHistory(totals.history.unfinished(), clock.nowMs());
    this.#queries?.unsubscribe();
    this.#announced?.stop();
    await this.#metrics?.stop();
    // The acknowledgements are on the wire before what they stand for is closed.
    await nats.connection.flush();
    await store.close();
  }

  /** Until nothing is held, or the time is over. */
  async #finish(): Promise<void> {
    const { held, clock } = this.#options;
    const endMs = clock.monotonicMs() + finishMsMax;
    while (held.messages > 0 && clock.monotonicMs() < endMs) await sleep(clock, 20);
  }

  /** Asks what waits, now and then again and again; what cannot be answered now keeps its last figure. */
  async #askBacklog(): Promise<void> {
    const { stream, collector, clock, log } = this.#options;
    try {
      this.#backlog = await stream.backlog();
      this.#floors.push(this.#backlog.acknowledgedThrough);
      if (this.#floors.length > floorsKept) collector.forgetThrough(this.#floors.shift() ?? 0);
    } catch (error) {
      log.debug({ err: error }, 'the backlog could not be asked for');
    }
    if (this.#isDraining) return;
    this.#cancelBacklog = clock.after(backlogMs, () => void this.#askBacklog());
  }

  #description() {
    return {
      name: 'trivet-telemetry',
      version: this.#options.version,
      description: 'Collects telemetry records, acknowledges them after export, and answers about them.',
      endpoints: [{ name: endpointName, subject: this.#options.subjects.telemetryQueryAll, queueGroup }],
    };
  }
}
