import { createRequire } from 'node:module';
import { encode, json } from '#shared/protocol/encoding.ts';
import { type Result, TrivetError, accept, refuse } from '#shared/protocol/errors.ts';
import { stackLengthMax, tagLengthMax, telemetryRecordsMax } from '#shared/protocol/limits.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type {
  TelemetryError,
  TelemetryEvent,
  TelemetryLog,
  TelemetryMetric,
  TelemetryPerformance,
  TelemetryType,
} from '#shared/protocol/telemetry-records.ts';
import { telemetryKinds } from '#shared/protocol/telemetry-words.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { stackOf } from './error-stack.ts';
import type { OrLeftOut } from './left-out.ts';
import { MicroBatch } from './micro-batch.ts';

type Tags = NonNullable<TelemetryMetric['tags']>;
type MetricOptions = OrLeftOut<Pick<TelemetryMetric, 'tags' | 'unit' | 'timestamp' | 'source'>>;

export interface TelemetryOptions {
  /** Name of the service that speaks; every record may overrule it. */
  readonly source?: string;
  /** How long to wait until the stream has a message, in milliseconds. Default 5 s. */
  readonly timeoutMs?: number;
}

interface KindRecords {
  metric: OrLeftOut<TelemetryMetric>;
  event: OrLeftOut<TelemetryEvent>;
  performance: OrLeftOut<TelemetryPerformance>;
  error: OrLeftOut<TelemetryError>;
  log: OrLeftOut<TelemetryLog>;
}

/**
 * The schemas are loaded with the first record: a program that sends none need not wait for them. At once, since that
 * record goes out with this turn; `import` where somebody else is in the middle of loading the same files.
 */
const load = createRequire(import.meta.url);
let checks: typeof import('./telemetry-checks.ts') | undefined;
function loadedChecks(): typeof checks {
  try {
    checks ??= load('./telemetry-checks.ts') as typeof import('./telemetry-checks.ts');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_REQUIRE_ESM_RACE_CONDITION') throw error;
  }
  return checks;
}

// One message stays well below NATS's default payload of 1 MB.
const messageBytesMax = 512 * 1_024;
const timeoutMsDefault = 5_000;

/**
 * Sends telemetry. Every method resolves once the record is stored in the stream, from where a collector takes it, and
 * rejects with a `TrivetError` when it is not valid or the stream does not have it. What is recorded in one turn of
 * the event loop goes out as one message for each kind. The first record of a process loads the schemas, in which
 * nothing else runs for some 0.2 s.
 */
export class Telemetry {
  readonly #source: string | undefined;
  readonly #batches: ReadonlyMap<TelemetryType, MicroBatch<Uint8Array, void>>;

  constructor(nats: Nats, subjects: Subjects, options: TelemetryOptions = {}) {
    this.#source = options.source;
    const timeoutMs = options.timeoutMs ?? timeoutMsDefault;
    this.#batches = new Map(
      telemetryKinds.map((kind) => [
        kind,
        new MicroBatch<Uint8Array, void>({
          itemsMax: telemetryRecordsMax,
          bytesMax: messageBytesMax,
          send: (records) => publish(nats, subjects.telemetry(kind), records, timeoutMs),
        }),
      ]),
    );
  }

  /** Adds `value` (at least 0) to a counter. */
  counter(name: string, value = 1, options: MetricOptions = {}): Promise<void> {
    return this.metric({ name, value, type: 'counter', ...options });
  }

  /** Sets a gauge. */
  gauge(name: string, value: number, options: MetricOptions = {}): Promise<void> {
    return this.metric({ name, value, type: 'gauge', ...options });
  }

  /** Counts `value` in a histogram. */
  histogram(name: string, value: number, options: MetricOptions = {}): Promise<void> {
    return this.metric({ name, value, type: 'histogram', ...options });
  }

  metric(record: OrLeftOut<TelemetryMetric>): Promise<void> {
    return this.#record('metric', record);
  }

  event(record: OrLeftOut<TelemetryEvent>): Promise<void> {
    return this.#record('event', record);
  }

  performance(record: OrLeftOut<TelemetryPerformance>): Promise<void> {
    return this.#record('performance', record);
  }

  log(record: OrLeftOut<TelemetryLog>): Promise<void> {
    return this.#record('log', record);
  }

  /** Records an error: an `Error` with its type, its stack and those of its causes, or the record itself. */
  error(
    error: Error | OrLeftOut<TelemetryError>,
    more: OrLeftOut<Omit<TelemetryError, 'message'>> = {},
  ): Promise<void> {
    return this.#record('error', { ...(error instanceof Error ? recordOf(error) : error), ...more });
  }

  /**
   * Runs `work` and records how long it took and whether it succeeded.
   * The outcome is that of `work` alone: a record that cannot be sent is dropped.
   */
  async time<T>(operation: string, work: () => T | Promise<T>, tags?: Tags): Promise<T> {
    const startedMs = performance.now();
    const record = (success: boolean) => {
      const durationMs = performance.now() - startedMs;
      const sent = this.performance({
        operation,
        durationMs,
        success,
        ...(tags === undefined ? {} : { tags }),
      });
      // Whoever is timed must not fail because nobody keeps the time.
      sent.catch(() => undefined);
    };
    try {
      const value = await work();
      record(true);
      return value;
    } catch (error) {
      record(false);
      throw error;
    }
  }

  /** Sends what has gathered in this turn now. */
  flush(): void {
    for (const batch of this.#batches.values()) batch.flush();
  }

  /** As `flush`; resolves once all that was sent is stored, or is known not to be. */
  async settled(): Promise<void> {
    await Promise.all([...this.#batches.values()].map((batch) => batch.settled()));
  }

  async #record<Kind extends TelemetryType>(kind: Kind, given: KindRecords[Kind]): Promise<void> {
    const record = this.#source === undefined ? given : { source: this.#source, ...given };
    // The collector would keep a bad record as a dead letter; here its sender can still be told.
    const { recordChecks } = loadedChecks() ?? (await import('./telemetry-checks.ts'));
    const checked = recordChecks[kind](record);
    if (!checked.ok) throw new TrivetError(checked.error);
    const encoded = encode(record, json);
    await this.#batches.get(kind)?.add(encoded, encoded.length);
  }
}

/** @param options.source name of the service that speaks */
export const createTelemetry = (nats: Nats, subjects: Subjects, options: TelemetryOptions = {}): Telemetry =>
  new Telemetry(nats, subjects, options);

/** One message with all records; each has the outcome of the message. */
async function publish(
  nats: Nats,
  subject: string,
  records: readonly Uint8Array[],
  timeoutMs: number,
): Promise<readonly Result<void>[]> {
  let outcome: Result<void> = accept(undefined);
  try {
    await nats.js.publish(subject, arrayOf(records), { timeout: timeoutMs });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    outcome = refuse('unavailable', `the telemetry stream did not take the record: ${text}`);
  }
  return records.map(() => outcome);
}

const comma = Buffer.from(',');

/** A JSON array of values that are encoded already. */
function arrayOf(encoded: readonly Uint8Array[]): Uint8Array {
  const parts = encoded.flatMap((one, index) => (index === 0 ? [one] : [comma, one]));
  return Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]);
}

/** What was thrown is told as far as there is room: nobody chose how long its text is. */
function recordOf(error: Error): TelemetryError {
  const stack = stackOf(error);
  return {
    message: (error.message === '' ? error.name : error.message).slice(0, stackLengthMax),
    type: error.name.slice(0, tagLengthMax),
    ...(stack === undefined ? {} : { stack }),
  };
}
