import type { Client, Metadata, ServiceError } from '@grpc/grpc-js';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Outcome, grpcOutcomeOf } from './core/delivery.ts';
import type { Signal } from './core/otlp-chunks.ts';
import type { Connection } from './core/pipelines.ts';
import { ProtobufFault, ProtobufReader, bytesType } from './core/protobuf.ts';
import { readPartial } from './otlp-encoding.ts';
import { type Sender, faultText } from './sender.ts';

/** The one method of each of OTLP's three gRPC services. */
export const grpcPaths = {
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
} as const satisfies Record<Signal, string>;

/** Loaded when the first one needs it: it is large, and most collectors speak HTTP alone. */
export async function loadGrpc() {
  const grpc = await import('@grpc/grpc-js');
  // It writes to standard error by itself what we are told as a result as well: a port that is taken, each time.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  return grpc;
}

type Grpc = Awaited<ReturnType<typeof loadGrpc>>;

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);

/** Sends OTLP requests over gRPC. */
export class OtlpGrpcSender implements Sender {
  readonly #connection: Extract<Connection, { type: 'otlp-grpc' }>;
  readonly #clock: Clock;
  #client: Promise<{ readonly grpc: Grpc; readonly client: Client }> | undefined;

  constructor(connection: Extract<Connection, { type: 'otlp-grpc' }>, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  async send(signal: Signal, body: Uint8Array): Promise<Outcome> {
    try {
      const { grpc, client } = await (this.#client ??= this.#open());
      const answer = await this.#call(grpc, client, grpcPaths[signal], asBuffer(body));
      if (!('error' in answer)) return { kind: 'accepted', ...readPartial[signal](answer.body) };
      const { code, details, metadata } = answer.error;
      return grpcOutcomeOf({ code, message: details, retryAfterMs: retryInfoMs(metadata) });
    } catch (error) {
      return { kind: 'retry', reason: faultText(error) };
    }
  }

  close(): void {
    void this.#client?.then(({ client }) => client.close());
  }

  async #open(): Promise<{ readonly grpc: Grpc; readonly client: Client }> {
    const grpc = await loadGrpc();
    const { protocol, host } = new URL(this.#connection.target.url);
    const isSecure = protocol === 'https:';
    const client = new grpc.Client(
      // A URL leaves out the port that is usual for its protocol.
      host.includes(':') ? host : `${host}:${isSecure ? 443 : 80}`,
      isSecure ? grpc.credentials.createSsl() : grpc.credentials.createInsecure(),
      {
        // The lane is the one who tries again: two of them would multiply.
        'grpc.enable_retries': 0,
        'grpc.initial_reconnect_backoff_ms': 200,
        'grpc.min_reconnect_backoff_ms': 200,
        'grpc.max_reconnect_backoff_ms': 5_000,
        'grpc.max_receive_message_length': 1_048_576,
        'grpc.default_compression_algorithm': this.#connection.target.gzip
          ? grpc.compressionAlgorithms.gzip
          : grpc.compressionAlgorithms.identity,
      },
    );
    return { grpc, client };
  }

  #call(
    grpc: Grpc,
    client: Client,
    path: string,
    body: Buffer,
  ): Promise<{ readonly body: Buffer } | { readonly error: ServiceError }> {
    const { headers, timeoutMs } = this.#connection.target;
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        body,
        metadata,
        { deadline: this.#clock.nowMs() + timeoutMs },
        (error, answer) => resolve(error === null ? { body: answer ?? Buffer.alloc(0) } : { error }),
      );
    });
  }
}

/**
 * How long a receiver asks to wait: google.rpc.RetryInfo among the details of the status.
 * Status { details(3): Any { type_url(1), value(2) } }, RetryInfo { retry_delay(1): Duration { seconds(1), nanos(2) } }.
 */
function retryInfoMs(metadata: Metadata): number | undefined {
  const [status] = metadata.get('grpc-status-details-bin');
  if (!(status instanceof Buffer)) return undefined;
  try {
    for (const detail of valuesOf(status, 3)) {
      const [type] = valuesOf(detail, 1);
      if (
        !Buffer.from(type ?? [])
          .toString()
          .endsWith('google.rpc.RetryInfo')
      )
        continue;
      const [value = new Uint8Array()] = valuesOf(detail, 2);
      const [duration = new Uint8Array()] = valuesOf(value, 1);
      return durationMs(duration);
    }
  } catch (error) {
    if (!(error instanceof ProtobufFault)) throw error;
  }
  return undefined;
}

function valuesOf(message: Uint8Array, field: number): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new ProtobufReader(message);
  while (reader.next()) {
    if (reader.field !== field || reader.wire !== bytesType) reader.skip();
    else {
      const start = reader.delimited();
      found.push(message.subarray(start, reader.at));
    }
  }
  return found;
}

function durationMs(duration: Uint8Array): number {
  const reader = new ProtobufReader(duration);
  let ms = 0;
  while (reader.next()) {
    if (reader.field === 1) ms += reader.varint32() * 1_000;
    else if (reader.field === 2) ms += reader.varint32() / 1_000_000;
    else reader.skip();
  }
  return ms;
}
