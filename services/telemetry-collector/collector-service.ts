import { saysOneThing } from '#shared/protocol/headers.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { spanContextOf } from '#shared/runtime/trace-context.ts';
import type { DropExamples } from './core/drop-examples.ts';
import type { DestinationAccount, OnTheirWay, Reached } from './core/destination-accounts.ts';
import type { ErrorGroup } from './core/error-groups.ts';
import type { CountedKind, Figures } from './core/figures.ts';
import type { HistoryRow } from './core/history.ts';
import type { LogEntry } from './core/interpret.ts';
import { type Signal, chosen, signals } from './core/otlp-chunks.ts';
import { readMessage } from './core/read-message.ts';
import type { DeadLetter, KeptRecord, ReadMessage } from './core/reading.ts';
import { readOtlp } from './core/read-otlp.ts';
import { type Rules, redacted } from './core/rules.ts';
import type { Series } from './core/series.ts';
import type { Cargo, Shipment } from './destinations.ts';
import { GroupCommit } from './group-commit.ts';
import type { HeldMessages } from './held-messages.ts';
import type { Delivery } from './inbox.ts';
import type { Applied, PendingRecords, Settled, Totals } from './totals.ts';
import { Turn } from './turn.ts';

/** That a message is in the totals, and whether all its records have arrived where they must be. */
export interface Marker {
  readonly delivered: boolean;
  /** Records of it that go out. */
  readonly records: number;
  readonly kind: CountedKind;
  /** Lanes that have their part, where others have not: when it comes again, they do not get it again. */
  readonly sentTo?: readonly string[];
  /** Records of it that are on their way, by destination. */
  readonly to?: OnTheirWay;
}

export interface Recovered {
  readonly figures: Figures;
  readonly series: readonly Series[];
  readonly markers: ReadonlyMap<number, Marker>;
  readonly groups: readonly ErrorGroup[];
  readonly accounts: Readonly<Record<string, DestinationAccount>>;
}

export interface Change {
  readonly figures: Figures;
  readonly series: readonly Series[];
  /** Those among them that are new. */
  readonly created: readonly Series[];
  readonly markers: ReadonlyMap<number, Marker>;
  /** Sequences whose markers are of no use any more. */
  readonly forgotten: readonly number[];
  readonly recent: readonly LogEntry[];
  readonly groups: { readonly put: readonly ErrorGroup[]; readonly removed: readonly string[] };
  /** Steps of the history that are over. */
  readonly history: readonly HistoryRow[];
  /** Of what is not delivered yet. */
  readonly pending: PendingRecords;
  /** By destination, and what is on its way there. */
  readonly accounts: {
    readonly ended: Readonly<Record<string, DestinationAccount>>;
    readonly pending: OnTheirWay;
  };
  readonly atMs: number;
}

/** What outlives the process. */
export interface StateStore {
  /** @param stream markers of any other stream are dropped */
  recover(stream: string): Promise<Recovered>;
  /** All of it or nothing. Resolves once it is on the disk. */
  commit(change: Change): Promise<void>;
}

/** A dead letter and where it comes from. */
export interface Burial {
  readonly letter: DeadLetter;
  /** Of its message; undefined for what never came into the stream. */
  readonly sequence: number | undefined;
  readonly subject: string;
  readonly receivedMs: number;
  /** Who refused it, where a destination did. */
  readonly destination?: string | undefined;
}

export interface DeadLetters {
  /** Resolves once all of them are stored. */
  bury(burials: readonly Burial[]): Promise<void>;
}

/** Whoever must have the records before their message is acknowledged. */
export interface Outlet {
  /** Its parts for all of them, encoded; undefined where nobody wants anything of it. */
  load(read: ReadMessage): Cargo | undefined;
  /** How many of its records each of them gets. */
  wanted(
    read: ReadMessage,
    cargo: Cargo | undefined,
    kept: readonly KeptRecord[],
  ): ReadonlyMap<string, number>;
  send(shipment: Shipment): void;
}

/** The messages that are not acknowledged yet, where they are stored. */
export interface StoredMessages {
  /** Asks until there is an answer. @returns the bytes of one; none where somebody has deleted it */
  bodyOf(sequence: number): Promise<Uint8Array>;
}

export interface CollectorOptions {
  readonly totals: Totals;
  readonly held: HeldMessages;
  readonly store: StateStore;
  readonly deadLetters: DeadLetters;
  readonly stored: StoredMessages;
  readonly outlet: Outlet;
  readonly clock: Clock;
  readonly rules: Rules;
  readonly flushMs: number;
  readonly fail: (error: Error) => void;
  readonly examples: DropExamples;
}

/** A message that was read, on its way through the commit. */
interface Arrived {
  readonly kind: 'arrived';
  readonly delivery: Pick<Delivery, 'sequence' | 'subject' | 'receivedMs'>;
  readonly read: ReadMessage;
  readonly cargo: Cargo | undefined;
  /** By which it was read. */
  readonly rules: Rules;
}

type Step =
  | Arrived
  | ({ readonly kind: 'settled' } & { readonly settled: Settled })
  | { readonly kind: 'progress'; readonly sequence: number; readonly lane: string }
  | { readonly kind: 'reached'; readonly reached: Reached }
  | { readonly kind: 'floor'; readonly floor: number };

// A group of this many records is committed at once.
const recordsMax = 16_384;

// Dead letters of one group that are looked at for examples: of each reason the last one is shown.
const examplesPerGroup = 20;
const filteredEveryMs = 10_000;

/**
 * The turn of a collector: message in → read → count → commit → send → commit → acknowledge. A message is
 * acknowledged when everything it became is where it must be, and never before.
 */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #steps: GroupCommit<Step>;
  #rules: Rules;
  readonly #unread: Delivery[] = [];
  #isReading = false;
  #reading: Promise<void> = Promise.resolve();
  #onEntries: (entries: readonly LogEntry[]) => void = () => undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#rules = options.rules;
    this.#steps = new GroupCommit({
      delayMs: options.flushMs,
      weightMax: recordsMax,
      weightOf,
      run: (steps) => this.#commit(steps),
      fail: options.fail,
      clock: options.clock,
    });
  }

  /** Takes one message. What comes again while it is held is the same message. */
  take(delivery: Delivery): void {
    const { held, totals } = this.#options;
    if (!held.hold(delivery)) return;
    if (totals.isDelivered(delivery.sequence)) {
      held.acknowledge(delivery.sequence);
      return;
    }
    this.#unread.push(delivery);
    if (!this.#isReading) this.#reading = this.#readAll().catch(this.#options.fail);
  }

  /** `told` hears of every event, error and log record once it is kept. */
  onEntries(told: (entries: readonly LogEntry[]) => void): void {
    this.#onEntries = told;
  }

  /** What is taken from now on is judged by these. */
  use(rules: Rules): void {
    this.#rules = rules;
    this.#options.totals.forgetKnown();
  }

  /** Forgets the markers of what JetStream knows to be acknowledged. */
  forgetThrough(floor: number): void {
    this.#steps.add({ kind: 'floor', floor });
  }

  /** Resolves once everything that was taken is committed, whether or not it could be sent. */
  async committed(): Promise<void> {
    await this.#reading;
    await this.#steps.drained();
  }

  /**
   * Reads what was taken, in its order. One reading of the socket may bring a hundred messages at once: they are worked
   * off in turns, so that whoever else waits for this process does not wait for all of them.
   */
  async #readAll(): Promise<void> {
    this.#isReading = true;
    const turn = new Turn(this.#options.clock);
    for (let one = this.#unread.shift(); one !== undefined; one = this.#unread.shift()) {
      this.#readOne(one);
      if (turn.isOver) await turn.next();
    }
    this.#isReading = false;
    // Nothing more will come before something goes: to wait for others would be in vain.
    if (this.#options.held.isFull) this.#steps.flush();
  }

  #readOne(delivery: Delivery): void {
    const { sequence, subject, receivedMs } = delivery;
    const read = this.#read(delivery);
    const cargo = this.#options.outlet.load(read);
    const rules = this.#rules;
    this.#steps.add({ kind: 'arrived', delivery: { sequence, subject, receivedMs }, read, cargo, rules });
  }

  #read({ headers, sequence, receivedMs, body, subject }: Delivery): ReadMessage {
    const rules = this.#rules;
    const contentTypes = headers?.values('Content-Type') ?? [];
    // One that says two things is a content type that nobody speaks.
    const contentType = saysOneThing(contentTypes) ? contentTypes[0] : contentTypes.join(', ');
    const signal = signalOf(subject);
    if (signal !== undefined) return readOtlp({ signal, contentType, body }, { rules, sequence });
    const span = spanContextOf(headers);
    const origin = span && { traceId: span.traceId, spanId: span.spanId, traceFlags: span.traceFlags };
    const message = { kind: lastToken(subject), contentType, body };
    return readMessage(message, { sequence, receivedMs, origin, rules }, this.#options.totals.known);
  }

  async #commit(steps: readonly Step[]): Promise<void> {
    const { totals, store, held, clock } = this.#options;
    const turn = new Turn(clock);
    const arrived: { readonly step: Arrived; readonly applied: Applied }[] = [];
    for (const step of steps) {
      if (step.kind !== 'arrived') continue;
      arrived.push(this.#count(step));
      if (turn.isOver) await turn.next();
    }
    await this.#bury(arrived.flatMap(({ step, applied }) => burialsOf(step, applied.letters)));
    for (const step of steps) {
      if (step.kind === 'settled') totals.settle(step.settled);
      else if (step.kind === 'reached') totals.reach(step.reached);
      else if (step.kind === 'progress') totals.progress(step.sequence, step.lane);
      else if (step.kind === 'floor') totals.forgetThrough(step.floor);
    }
    const change = totals.takeChange(clock.nowMs());
    await store.commit(change);
    totals.committed(change);
    if (change.recent.length > 0) this.#onEntries(change.recent);
    for (const step of steps) if (step.kind === 'settled') held.acknowledge(step.settled.sequence);
    for (const { step, applied } of arrived) {
      if (step.cargo === undefined) held.acknowledge(step.delivery.sequence);
      else this.#send(step, step.cargo, applied);
      if (turn.isOver) await turn.next();
    }
  }

  #count(step: Arrived) {
    const { read, cargo, delivery } = step;
    if (read.filtered + read.sampled > 0) this.#noteFiltered(step);
    const mustBeSent = cargo !== undefined;
    // What a record came to under other rules says nothing about the next one.
    const mayLearn = step.rules === this.#rules;
    const wanted = (kept: readonly KeptRecord[]) => this.#options.outlet.wanted(read, cargo, kept);
    const { sequence } = delivery;
    const applied = this.#options.totals.apply({ sequence, read, mustBeSent, mayLearn, wanted });
    return { step, applied };
  }

  #send(step: Arrived, cargo: Cargo, applied: Applied): void {
    // Only these: whoever waits for a destination that is down must not hold the decoded records.
    const { kind, isBodyHeld, lettersOf } = step.read;
    const { delivery } = step;
    const { sequence } = delivery;
    const refused = new Set<number>();
    this.#options.outlet.send({
      kind: kind === 'other' ? 'log' : kind,
      cargo: applied.kept.length === step.read.kept.length ? cargo : withoutRejected(cargo, applied),
      counted: applied.counted,
      series: this.#options.totals.snapshots(applied.series),
      expectedBy: this.#options.totals.expectedBy(sequence),
      sentTo: new Set(this.#options.totals.sentTo(sequence)),
      refused: async (destination, places, reason) => {
        for (const place of places) refused.add(place);
        const again = isBodyHeld ? undefined : await this.#options.stored.bodyOf(sequence);
        const letters = lettersOf(places, 'refused_by_destination', reason, again);
        await this.#bury(letters.map((letter) => ({ letter, destination, ...delivery })));
      },
      reached: (ended) => this.#steps.add({ kind: 'reached', reached: { sequence, ...ended } }),
      progress: (lane) => this.#steps.add({ kind: 'progress', sequence, lane }),
      done: () => this.#steps.add({ kind: 'settled', settled: { sequence, kind, refused: refused.size } }),
    });
  }

  async #bury(burials: readonly Burial[]): Promise<void> {
    if (burials.length === 0) return;
    const atMs = this.#options.clock.nowMs();
    for (const { letter, subject, sequence } of burials.slice(-examplesPerGroup)) {
      const { reason, message, index } = letter;
      const body = this.#shownOf(letter);
      this.#options.examples.note(reason, { atMs, subject, sequence, index, message, body });
    }
    await this.#options.deadLetters.bury(burials);
  }

  /** An example of what a rule left out, now and then: to make one, a message is decoded again. */
  #noteFiltered({ read, delivery }: Arrived): void {
    const { clock, examples } = this.#options;
    const { filteredExample } = read;
    const atMs = clock.nowMs();
    if (filteredExample === undefined || !examples.isWanted('filtered', atMs - filteredEveryMs)) return;
    const [letter] = read.lettersOf([filteredExample.index], 'invalid_record', '');
    if (letter === undefined) return;
    const { subject, sequence } = delivery;
    const message = `left out by its ${filteredExample.by}`;
    examples.note('filtered', {
      atMs,
      subject,
      sequence,
      index: filteredExample.index,
      message,
      body: this.#shownOf(letter),
    });
  }

  /** What an example shows of a record. What must not leave could stand anywhere in one that is of no known shape. */
  #shownOf({ body }: DeadLetter): Uint8Array {
    return this.#rules.redacts ? Buffer.from(redacted) : body;
  }
}

/** What has just come goes with others; what ends a message's time here goes at once. */
function weightOf(step: Step): number {
  if (step.kind === 'arrived') return 1 + step.read.kept.length + step.read.known.length;
  return step.kind === 'progress' || step.kind === 'reached' ? 1 : recordsMax;
}

const lastToken = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);

/** The signal of an OTLP request; undefined for a message of records. */
const signalOf = (subject: string): Signal | undefined =>
  signals.find((signal) => subject.endsWith(`.otlp.v1.${signal}`));

/** Without the spans of records that found no series: those are dead letters. */
function withoutRejected(cargo: Cargo, applied: Applied): Cargo {
  const places = new Set(applied.kept.map((one) => one.index));
  const parcels = cargo.parcels.map((parcel) => ({
    ...parcel,
    chunks: chosen(parcel.chunks, (place) => places.has(place)),
  }));
  return { ...cargo, parcels: parcels.filter((parcel) => parcel.chunks.length > 0) };
}

const burialsOf = (step: Arrived, letters: readonly DeadLetter[]): readonly Burial[] =>
  letters.map((letter) => ({ letter, ...step.delivery }));
