import type { Signal } from './core/otlp-chunks.ts';
import { BackwardWriter, varintType } from './core/protobuf.ts';

// What a receiver of OTLP says: ExportXServiceResponse with its partial success, and google.rpc.Status for a fault.

const rejectedNames = {
  metrics: 'rejectedDataPoints',
  logs: 'rejectedLogRecords',
  traces: 'rejectedSpans',
} as const satisfies Record<Signal, string>;

export interface Partial {
  readonly rejected: number;
  readonly reason: string;
}

export function partialBytes({ rejected, reason }: Partial): Uint8Array {
  if (rejected === 0) return new Uint8Array();
  const writer = new BackwardWriter(256);
  writer.textField(2, reason);
  writer.varint(rejected);
  writer.tag(1, varintType);
  writer.delimit(1, 0);
  return writer.take();
}

export const partialJson = (signal: Signal, { rejected, reason }: Partial): string =>
  JSON.stringify(
    rejected === 0
      ? {}
      : { partialSuccess: { [rejectedNames[signal]]: String(rejected), errorMessage: reason } },
  );

/** @param code one of gRPC's status codes */
export function statusBytes(code: number, message: string): Uint8Array {
  const writer = new BackwardWriter(256);
  writer.textField(2, message.toWellFormed());
  writer.varint(code);
  writer.tag(1, varintType);
  return writer.take();
}

export const statusJson = (code: number, message: string): string => JSON.stringify({ code, message });
