import { durationMs } from '#shared/protocol/durations.ts';
import { type Refusal, TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Clock, within } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { BrokerWatch } from './broker-watch.ts';
import { HeldJobs } from './held-jobs.ts';
import { Intake } from './intake.ts';
import { withoutPlace } from './item-refusal.ts';
import type { JobHost, RunningJob } from './job.ts';
import { JobNotes } from './job-notes.ts';
import { JobRunner } from './job-runner.ts';
import { handlerWork } from './job-work.ts';
import type { LeaseKeeping, Leases } from './lease-keeper.ts';
import { type LeaseNews, isLost } from './lease-renewal.ts';
import { LoopWatch } from './loop-watch.ts';
import { QueueSignals } from './queue-signals.ts';
import { type Settlement, failedWith, released } from './settlement.ts';
import { Settler } from './settler.ts';
import { type Handler, type WorkerOptions, type WorkerSettings, settingsOf } from './worker-options.ts';
import { WorkerWire } from './worker-wire.ts';

/** What a worker shares with the client that began it. */
export interface WorkerParts {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly keeper: LeaseKeeping;
  readonly clock: Clock;
  readonly brokers: BrokerWatch;
  /** Hears that the worker has stopped. */
  readonly onEnd?: () => void;
}

export interface StopOptions {
  /** How long handlers may take to finish, such as "10s". Default: as long as they need. */
  readonly timeout?: string | number | undefined;
}

/** What an aborted handler may take to notice it. */
const graceMs = 1_000;
/** What outcomes may take then to be answered. */
const outcomesMsMax = 5_000;

/** Renewed for the first time after a third of that: many times what a thread takes to start on a busy machine. */
const longLeaseMs = 10_000;

/**
 * Works on a queue: leases items, runs the handler, and says how it went. Outcomes of one turn of the event loop go out
 * as one message, which also fetches the next items. Delivery is at least once: a handler must bear to run twice.
 * It never gives up by itself: what goes wrong is reported (`onError`), and tried again.
 */
export class Worker<Payload = unknown, Result = unknown> {
  readonly queue: string;
  readonly #clock: Clock;
  readonly #isClosed: () => boolean;
  readonly #settings: WorkerSettings;
  readonly #wire: WorkerWire;
  readonly #leases: Leases;
  readonly #jobs: HeldJobs;
  readonly #intake: Intake;
  readonly #settler: Settler;
  readonly #notes: JobNotes;
  readonly #signals: QueueSignals;
  readonly #watch: LoopWatch;
  readonly #runner: JobRunner;
  /** Whether what is leased now is renewed in time. */
  #mayLease: boolean;
  readonly #cancelDoubt: () => void;
  #paused = false;
  #restsUntilMs = 0;
  #cancelRest: (() => void) | undefined;
  #stopped: Promise<void> | undefined;
  readonly #abandoned = Promise.withResolvers<void>();
  readonly #onEnd: (() => void) | undefined;
  readonly #onQuiet = new Set<() => void>();

  /** @param parts of the client: use `trivet.worker(…)` */
  constructor(
    parts: WorkerParts,
    queue: string,
    handler: Handler<Payload, Result>,
    options: WorkerOptions<Payload, Result> = {},
  ) {
    const { nats, subjects, keeper, clock, brokers } = parts;
    this.#clock = clock;
    this.#isClosed = () => nats.connection.isClosed();
    this.#onEnd = parts.onEnd;
    this.queue = queue;
    this.#settings = settingsOf(queue, handler, options);
    const { concurrency, prefetch, leaseMs, name } = this.#settings;
    this.#runner = this.#makeRunner(handlerWork(handler, options));
    this.#wire = new WorkerWire({ nats, subjects, clock, brokers, queue, leaseMs, name });
    this.#watch = new LoopWatch(clock, leaseMs / 4);
    this.#leases = keeper.open({
      subject: subjects.queue(queue, 'extend'),
      leaseMs,
      // What runs, what is held, and as much again whose outcome is under way.
      slots: 2 * (concurrency + prefetch),
      onNews: (news) => this.#hear(news),
    });
    this.#jobs = new HeldJobs(this.#leases.table, this.#hostOfJobs(), {
      clock,
      // The broker counts from earlier on; by the next renewal of the lease it would be known as well, but that may be far.
      onOverdue: (job, timeoutMs) => this.#abort(job, new TrivetError(overdue(timeoutMs))),
    });
    this.#notes = this.#notesOfJobs();
    this.#settler = this.#makeSettler();
    this.#intake = this.#makeIntake();
    this.#signals = new QueueSignals({
      nats,
      subjects,
      queue,
      onCancelled: (ids) => this.#cancelled(ids),
      onPending: (events) => void this.#intake.makeRoom(events),
      onRefused: (error) => this.#settings.onError(error),
    });
    // The thread that renews leases is up long before a lease of some length is due: a shorter one is not taken before,
    // and none where it does not come up.
    this.#mayLease = leaseMs >= longLeaseMs;
    this.#cancelDoubt = clock.after(leaseMs / 3, () => {
      this.#mayLease = false;
      this.#intake.handBack();
    });
    void keeper.ready.then(() => this.#kept());
    void Promise.resolve().then(() => this.#intake.fetch());
  }

  #kept(): Promise<void> {
    this.#cancelDoubt();
    this.#mayLease = true;
    return this.#intake.fetch();
  }

  /** Takes nothing new until `resume`, and hands back what has not begun. Handlers that run go on. */
  pause(): void {
    this.#paused = true;
    this.#intake.handBack();
  }

  resume(): void {
    this.#paused = false;
    void this.#intake.fetch();
  }

  /**
   * Takes nothing new, hands back what has not begun (uncharged), lets running handlers finish, and says how they went.
   * After `timeout` their signals are aborted: what then throws is handed back uncharged, what has not ended a second
   * later has failed, with an error of the type `worker_stopped`. Outcomes that nobody has taken five seconds after that
   * are let go. Never rejects; stopping twice is stopping once, within the shortest `timeout` that was given.
   */
  stop(options: StopOptions = {}): Promise<void> {
    const timeoutMs = options.timeout === undefined ? undefined : durationMs(options.timeout);
    if (options.timeout !== undefined && timeoutMs === undefined)
      throw new TrivetError(refuseField('timeout', 'is not a duration such as "10s"').error);
    this.#stopped ??= this.#end();
    if (timeoutMs !== undefined) void this.#hurry(timeoutMs);
    return this.#stopped;
  }

  /** `await using worker = trivet.worker(…)` stops it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** A later stop may give less time than an earlier one. */
  async #hurry(timeoutMs: number): Promise<void> {
    if (await this.#quietWithin(timeoutMs)) return;
    this.#runner.interrupt(this.#jobs.running());
    if (await this.#quietWithin(graceMs)) return;
    this.#runner.giveUp(this.#jobs.running());
    // Without a NATS nobody will hear how they went: their leases run out.
    if (!(await this.#quietWithin(outcomesMsMax))) this.#abandoned.resolve();
  }

  async #end(): Promise<void> {
    this.#intake.handBack();
    await Promise.race([this.#quiet(), this.#abandoned.promise]);
    this.#cancelRest?.();
    this.#cancelDoubt();
    this.#signals.end();
    this.#watch.end();
    this.#leases.close();
    this.#onEnd?.();
  }

  /** The broker has answered: the lease is kept until then. */
  #settled({ job, operation }: Settlement, refusal: Refusal | undefined): void {
    // Whoever cancelled an item does not want to hear how its handler ended, and nothing went wrong.
    if (refusal !== undefined && !isOfCancelled(refusal)) {
      this.#report(withoutPlace(refusal));
      if (operation === 'complete' && !isLost(refusal)) {
        // An outcome that cannot be kept would run the job again and again; as a failure it is charged and seen.
        this.#settler.add(failedWith(job, { message: withoutPlace(refusal).message, type: refusal.code }));
        return;
      }
    }
    this.#jobs.drop(job);
  }

  /** Takes nothing for a while. */
  #rest(delayMs: number): void {
    this.#restsUntilMs = Math.max(this.#restsUntilMs, this.#clock.monotonicMs() + delayMs);
    this.#intake.handBack();
    this.#awaitRested();
  }

  /** A timer may fire a moment early: only the clock says when the rest is over. */
  #awaitRested(): void {
    this.#cancelRest?.();
    const leftMs = this.#restsUntilMs - this.#clock.monotonicMs();
    if (leftMs <= 0) void this.#intake.fetch();
    else this.#cancelRest = this.#clock.after(Math.ceil(leftMs), () => this.#awaitRested());
  }

  get #takes(): boolean {
    if (this.#stopped !== undefined || this.#paused || !this.#mayLease) return false;
    return this.#restsUntilMs === 0 || this.#restsUntilMs <= this.#clock.monotonicMs();
  }

  #hear(news: LeaseNews): void {
    if (news.kind === 'fault') {
      this.#report(news.refusal);
      return;
    }
    const job = this.#jobs.at(news.slot, news.generation);
    if (job === undefined) return;
    // Each renewal says so again for as long as the handler runs.
    if (news.kind === 'lost' && !job.lost) this.#report(news.refusal);
    job.lost ||= news.kind === 'lost';
    this.#abort(job, news.kind === 'lost' ? new TrivetError(news.refusal) : new Error(cancelledText));
  }

  #cancelled(ids: readonly string[]): void {
    for (const job of this.#jobs.withIds(ids)) this.#abort(job, new Error(cancelledText));
  }

  /** The handler hears of it; what has not begun never begins. */
  #abort(job: RunningJob, reason: Error): void {
    job.abort(reason);
    if (!this.#intake.remove(job)) return;
    job.settled = true;
    this.#jobs.drop(job);
  }

  #makeRunner(work: (job: RunningJob) => unknown): JobRunner {
    return new JobRunner({
      work,
      onEnd: (job, settlement) => {
        this.#notes.end(job);
        this.#settler.add(settlement);
        this.#intake.begin();
      },
      onRest: (delayMs) => this.#rest(delayMs),
    });
  }

  #makeIntake(): Intake {
    const { concurrency, prefetch } = this.#settings;
    return new Intake({
      wire: this.#wire,
      jobs: this.#jobs,
      watch: this.#watch,
      clock: this.#clock,
      concurrency,
      prefetch,
      takes: () => this.#takes,
      running: () => this.#runner.running,
      settling: () => this.#settler.scheduled,
      begin: (job) => this.#runner.begin(job),
      handBack: (jobs) => {
        for (const job of jobs) {
          job.settled = true;
          this.#settler.add(released(job));
        }
      },
      handBackItems: (items) => this.#settler.handBack(items),
      onHolding: () => this.#signals.listenToPending(),
      onFault: (refusal) => {
        // A question that the end of the connection cuts off is no fault: what it would have brought is handed back.
        if (this.#stopped === undefined) this.#report(refusal);
      },
    });
  }

  #makeSettler(): Settler {
    return new Settler({
      wire: this.#wire,
      reserve: () => this.#intake.reserve(),
      onSent: () => void this.#intake.fetch(),
      onSettled: (settlement, refusal) => this.#settled(settlement, refusal),
      onAnswered: (reserved, next) => {
        void this.#intake.answered(reserved, next);
        this.#tellQuiet();
      },
      // With the connection the client was closed: what is cut off by that is handed back by the broker.
      onFault: (refusal) => {
        if (this.#stopped === undefined || !this.#isClosed()) this.#report(refusal);
      },
    });
  }

  #hostOfJobs(): JobHost {
    return {
      // Of what has ended nothing more is kept: nobody would ever send or forget it.
      progress: (job, note) => {
        if (!job.settled) this.#notes.progress(job, note);
      },
      log: (job, line) => {
        if (!job.settled) this.#notes.log(job, line);
      },
      children: async (job) => {
        const reply = await this.#wire.children(job);
        if (!reply.ok) throw new TrivetError(reply.error);
        return reply.value;
      },
    };
  }

  #notesOfJobs(): JobNotes {
    return new JobNotes({
      clock: this.#clock,
      note: (job, note) => this.#leases.note(job.slot, job.generation, note),
      send: async (job, notes) => {
        for (const reply of await this.#wire.sendNotes(job, notes)) if (!reply.ok) this.#report(reply.error);
      },
    });
  }

  /** Resolves when no handler runs and every outcome is answered. */
  async #quiet(): Promise<void> {
    while (this.#runner.running > 0 || this.#settler.busy)
      await new Promise<void>((resolve) => {
        this.#onQuiet.add(resolve);
      });
  }

  #quietWithin(limitMs: number): Promise<boolean> {
    const isQuiet = this.#quiet().then(() => true);
    return within(this.#clock, limitMs, isQuiet, false);
  }

  #tellQuiet(): void {
    for (const look of this.#onQuiet) look();
    this.#onQuiet.clear();
  }

  #report(refusal: Refusal): void {
    this.#settings.onError(new TrivetError(refusal));
  }
}

const isOfCancelled = ({ code, details }: Refusal): boolean =>
  code === 'wrong_state' && details?.['state'] === 'cancelled';

const cancelledText = 'the item was cancelled';

const overdue = (timeoutMs: number) =>
  refuse('lease_lost', `the attempt has had the ${timeoutMs} ms of its timeout`).error;
