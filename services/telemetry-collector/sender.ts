import type { Outcome } from './core/delivery.ts';
import type { Signal } from './core/otlp-chunks.ts';
import { ProtobufFault } from './core/protobuf.ts';

/** The way out to one destination. */
export interface Sender {
  /** Sends one OTLP request (protobuf), once. Every fault is an outcome; never rejects. */
  send(signal: Signal, body: Uint8Array): Promise<Outcome>;
  /** Nothing is sent any more. */
  close(): void;
}

const reasonLengthMax = 500;

/** The readable part of what a receiver says about a fault, as the end of a sentence. */
export function readableEnd(body: Uint8Array): string {
  const text = Buffer.from(body)
    .toString('utf8')
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return text === '' ? '' : `: ${text.slice(0, reasonLengthMax)}`;
}

/** What a fault comes to: a request that cannot be written in this encoding never will be, however often it is tried. */
export const faultOutcome = (error: unknown): Outcome => ({
  kind: error instanceof ProtobufFault ? 'refused' : 'retry',
  reason: faultText(error),
});

export function faultText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}
