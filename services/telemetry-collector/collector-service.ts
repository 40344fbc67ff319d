import type { TelemetryLevel } from '#shared/protocol/telemetry-schemas.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { spanContextOf } from '#shared/runtime/trace-context.ts';
import type { Figures } from './core/figures.ts';
import type { LogEntry } from './core/interpret.ts';
import { type DeadLetter, type ReadMessage, readMessage } from './core/read-message.ts';
import type { Series } from './core/series.ts';
import type { Shipment } from './destinations.ts';
import { GroupCommit } from './group-commit.ts';
import type { HeldMessages } from './held-messages.ts';
import type { Delivery } from './inbox.ts';
import type { Signal } from './otlp-http.ts';
import type { Applied, Settled, Totals } from './totals.ts';

/** That a message is in the totals, and whether all its records have arrived where they must be. */
export interface Marker {
  readonly delivered: boolean;
  /** Records of it that go out. */
  readonly records: number;
}

export interface Recovered {
  readonly figures: Figures;
  readonly series: readonly Series[];
  readonly markers: ReadonlyMap<number, Marker>;
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
  readonly sequence: number;
  readonly subject: string;
  readonly receivedMs: number;
}

export interface DeadLetters {
  /** Resolves once all of them are stored. */
  bury(burials: readonly Burial[]): Promise<void>;
}

/** Whoever must have the records before their message is acknowledged. */
export interface Outlet {
  wants(read: Pick<ReadMessage, 'kept' | 'known'>, raw: Signal | undefined): boolean;
  send(shipment: Shipment): void;
}

export interface CollectorOptions {
  readonly totals: Totals;
  readonly held: HeldMessages;
  readonly store: StateStore;
  readonly deadLetters: DeadLetters;
  readonly outlet: Outlet;
  readonly clock: Clock;
  readonly levelMin: TelemetryLevel;
  readonly flushMs: number;
  readonly fail: (error: Error) => void;
}

/** A message that was read, on its way through the commit. */
interface Arrived {
  readonly kind: 'arrived';
  readonly delivery: Pick<Delivery, 'sequence' | 'subject' | 'receivedMs'>;
  readonly bytes: number;
  readonly read: ReadMessage;
  readonly raw: Shipment['raw'];
}

type Step =
  | Arrived
  | ({ readonly kind: 'settled' } & { readonly settled: Settled })
  | { readonly kind: 'floor'; readonly floor: number };

// A group of this many records is committed at once.
const recordsMax = 8_192;

const signals: ReadonlySet<string> = new Set<Signal>(['metrics', 'logs', 'traces']);
const isSignal = (word: string): word is Signal => signals.has(word);

/**
 * The turn of a collector: message in → read → count → commit → send → commit → acknowledge. A message is
 * acknowledged when everything it became is where it must be, and never before.
 */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #steps: GroupCommit<Step>;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#steps = new GroupCommit({
      delayMs: options.flushMs,
      weightMax: recordsMax,
      weightOf: (step) =>
        step.kind === 'arrived' ? 1 + step.read.kept.length + step.read.known.length : recordsMax,
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
    const { sequence, subject, receivedMs } = delivery;
    const raw = rawOf(delivery);
    this.#steps.add({
      kind: 'arrived',
      delivery: { sequence, subject, receivedMs },
      bytes: delivery.body.length,
      read: raw === undefined ? this.#read(delivery) : rawRead(raw.body),
      raw,
    });
    // Nothing more will come before something goes: to wait for others would be in vain.
    if (held.isFull) this.#steps.flush();
  }

  /** Forgets the markers of what JetStream knows to be acknowledged. */
  forgetThrough(floor: number): void {
    this.#steps.add({ kind: 'floor', floor });
  }

  /** Resolves once everything that was taken is committed, whether or not it could be sent. */
  committed(): Promise<void> {
    return this.#steps.drained();
  }

  #read(delivery: Delivery): ReadMessage {
    const { headers, sequence, receivedMs, body, subject } = delivery;
    const span = spanContextOf(headers);
    return readMessage(
      { kind: lastToken(subject), contentType: headers?.get('Content-Type'), body },
      {
        sequence,
        receivedMs,
        origin: span && { traceId: span.traceId, spanId: span.spanId, traceFlags: span.traceFlags },
        levelMin: this.#options.levelMin,
      },
      this.#options.totals.known,
    );
  }

  async #commit(steps: readonly Step[]): Promise<void> {
    const { totals, store, held, clock } = this.#options;
    const arrived = steps.filter((step) => step.kind === 'arrived').map((step) => this.#count(step));
    await this.#bury(arrived.flatMap(({ step, applied }) => burialsOf(step, applied.letters)));
    for (const step of steps) {
      if (step.kind === 'settled') totals.settle(step.settled);
      else if (step.kind === 'floor') totals.forgetThrough(step.floor);
    }
    const change = totals.takeChange(clock.nowMs());
    await store.commit(change);
    totals.committed(change);
    for (const step of steps) if (step.kind === 'settled') held.acknowledge(step.settled.sequence);
    for (const one of arrived) {
      if (one.mustBeSent) this.#send(one.step, one.applied);
      else held.acknowledge(one.step.delivery.sequence);
    }
  }

  #count(step: Arrived) {
    const { read, raw, delivery } = step;
    const mustBeSent = this.#options.outlet.wants(read, raw?.signal);
    const applied = this.#options.totals.apply({ sequence: delivery.sequence, read, mustBeSent });
    return { step, applied, mustBeSent };
  }

  #send(step: Arrived, applied: Applied): void {
    const { sequence } = step.delivery;
    let refused = 0;
    this.#options.outlet.send({
      bytes: step.bytes,
      kept: applied.kept,
      counted: applied.counted,
      series: this.#options.totals.snapshots(applied.series),
      raw: step.raw,
      refused: async (places, reason) => {
        const letters = step.read.lettersOf(places, 'refused_by_destination', reason);
        refused += letters.length;
        await this.#bury(burialsOf(step, letters));
      },
      done: () => this.#steps.add({ kind: 'settled', settled: { sequence, kind: step.read.kind, refused } }),
    });
  }

  async #bury(burials: readonly Burial[]): Promise<void> {
    if (burials.length > 0) await this.#options.deadLetters.bury(burials);
  }
}

const lastToken = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);

/** The signal and the bytes of an OTLP request; undefined for a message of records. */
function rawOf({ subject, body }: Delivery): Shipment['raw'] {
  const signal = lastToken(subject);
  return subject.endsWith(`.otlp.v1.${signal}`) && isSignal(signal) ? { signal, body } : undefined;
}

/** An OTLP request is one record, which is not looked into. */
const rawRead = (body: Uint8Array): ReadMessage => ({
  kind: 'otlp',
  kept: [],
  known: [],
  dead: [],
  filtered: 0,
  lettersOf: (_places, reason, message) => [
    { reason, message, index: undefined, contentType: 'application/x-protobuf', body },
  ],
});

const burialsOf = (step: Arrived, letters: readonly DeadLetter[]): readonly Burial[] =>
  letters.map((letter) => ({ letter, ...step.delivery }));
