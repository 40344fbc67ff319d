import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type Nats, headersOf } from '#shared/runtime/nats.ts';
import type { Burial, DeadLetters } from './collector-service.ts';
import { type GatheredBurial, gathered } from './gathered-burials.ts';

// Publishes that wait for their acknowledgement at once.
const inFlightMax = 256;
const pauseMs = 500;
// Room for the headers below in a message that was as large as one may be.
const headersBytesMax = 16_384;

/**
 * The stream of what could not be used: the record (or the whole message) as it came, and in the headers why and
 * from where. A letter that is published again after a crash has the same id and is stored once.
 */
export class JetStreamDeadLetters implements DeadLetters {
  readonly #nats: Nats;
  readonly #subject: string;
  readonly #stream: string;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(options: {
    readonly nats: Nats;
    readonly subjects: Subjects;
    readonly streams: Streams;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#nats = options.nats;
    this.#subject = options.subjects.telemetryDead;
    this.#stream = options.streams.telemetryDead;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  async bury(burials: readonly Burial[]): Promise<void> {
    const letters = gathered(burials);
    for (let start = 0; start < letters.length; start += inFlightMax)
      await Promise.all(letters.slice(start, start + inFlightMax).map((one) => this.#publish(one)));
  }

  /** Tries until the stream has it: a bad record that is not kept would be lost without a trace. */
  async #publish(burial: GatheredBurial): Promise<void> {
    const { letter, records, sequence, subject, receivedMs, destination } = burial;
    const bodyBytesMax = (this.#nats.connection.info?.max_payload ?? 1_048_576) - headersBytesMax;
    const headers = headersOf({
      'Content-Type': letter.contentType,
      'Trivet-Reason': letter.reason,
      'Trivet-Message': headerText(letter.message),
      'Trivet-Subject': subject,
      'Trivet-Sequence': sequence === undefined ? undefined : String(sequence),
      'Trivet-Index': letter.index === undefined ? undefined : String(letter.index),
      'Trivet-Records': records === 1 ? undefined : String(records),
      'Trivet-Destination': destination,
      'Trivet-Truncated': letter.body.length > bodyBytesMax ? 'true' : undefined,
    });
    const msgID = letterId({ letter, sequence, receivedMs, destination });
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#nats.js.publish(this.#subject, letter.body.subarray(0, bodyBytesMax), {
          ...(msgID === undefined ? {} : { msgID }),
          expect: { streamName: this.#stream },
          ...(headers === undefined ? {} : { headers }),
        });
        return;
      } catch (error) {
        if (attempt === 1) this.#log.warn({ err: error }, 'a dead letter was not stored; trying again');
        await sleep(this.#clock, pauseMs);
      }
    }
  }
}

/** The same for a letter that is published again; undefined for what no message brings again. */
function letterId({
  letter,
  sequence,
  receivedMs,
  destination,
}: Omit<Burial, 'subject'>): string | undefined {
  if (sequence === undefined) return undefined;
  const id = `${sequence}-${receivedMs}-${letter.index ?? 'all'}`;
  return destination === undefined ? id : `${id}-${destination}`;
}

/** One line of printable ASCII, as headers are. */
const headerText = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 1_024);
