import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { JetStreamApiError, type Nats } from '#shared/runtime/nats.ts';
import type { DeadLetters } from './collector-service.ts';
import { checkItems } from './core/otlp-check.ts';
import { type Signal, chunksOf, itemsIn, requestOf } from './core/otlp-chunks.ts';
import { ProtobufFault } from './core/protobuf.ts';

/** What became of one request that came over HTTP or gRPC. */
export type IntakeOutcome =
  /** The stream has it, but for `rejected` items, which are dead letters. */
  | { readonly kind: 'stored'; readonly rejected: number; readonly reason: string }
  /** It is no OTLP request, or too large to be stored. */
  | { readonly kind: 'refused'; readonly isTooLarge: boolean; readonly reason: string }
  /** Not now; the sender comes again. */
  | { readonly kind: 'busy'; readonly reason: string };

export interface IntakeOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly deadLetters: DeadLetters;
  readonly clock: Clock;
}

// For the headers of a message and the frame around it.
const overheadBytes = 1_024;
const storeMsMax = 5_000;
// Of requests that wait for the stream; the sender is the better place for more.
const waitingBytesMax = 32 * 1_048_576;

/** Puts OTLP requests into the stream. A sender hears of a success when its request is stored, and not before. */
export class OtlpIntake {
  readonly #options: IntakeOptions;
  #waitingBytes = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Largest request, in bytes of protobuf. */
  get bytesMax(): number {
    return (this.#options.nats.connection.info?.max_payload ?? 1_048_576) - overheadBytes;
  }

  /** Stores one request (protobuf); never rejects. */
  async take(signal: Signal, body: Uint8Array): Promise<IntakeOutcome> {
    if (body.length > this.bytesMax)
      return { kind: 'refused', isTooLarge: true, reason: `a request may have ${this.bytesMax} bytes` };
    if (this.#waitingBytes + body.length > waitingBytesMax && this.#waitingBytes > 0)
      return { kind: 'busy', reason: 'too much waits to be stored' };
    this.#waitingBytes += body.length;
    try {
      return await this.#store(signal, body);
    } catch (error) {
      if (error instanceof ProtobufFault)
        return { kind: 'refused', isTooLarge: false, reason: error.message };
      const isFull = error instanceof JetStreamApiError;
      const reason = error instanceof Error ? error.message : String(error);
      return {
        kind: 'busy',
        reason: `${isFull ? 'the stream takes nothing' : 'NATS does not answer'}: ${reason}`,
      };
    } finally {
      this.#waitingBytes -= body.length;
    }
  }

  async #store(signal: Signal, body: Uint8Array): Promise<IntakeOutcome> {
    const { nats, subjects, deadLetters, clock } = this.#options;
    const subject = subjects.otlp(signal);
    const all = chunksOf(body);
    const { chunks, broken } = checkItems(signal, all);
    if (broken.length > 0) {
      const receivedMs = clock.nowMs();
      await deadLetters.bury(
        broken.map(({ place: index, problem: message, body: item }) => ({
          letter: {
            reason: 'invalid_record',
            message,
            index,
            contentType: 'application/x-protobuf',
            body: item,
          },
          sequence: undefined,
          subject,
          receivedMs,
        })),
      );
    }
    if (itemsIn(chunks) > 0)
      await nats.js.publish(subject, broken.length === 0 ? body : requestOf(chunks), { timeout: storeMsMax });
    return { kind: 'stored', rejected: broken.length, reason: broken[0]?.problem ?? '' };
  }
}
