import { type Nats, headersOf } from '#shared/runtime/nats.ts';
import type { Outcome } from './core/delivery.ts';
import type { Signal } from './core/otlp-chunks.ts';
import type { Connection } from './core/pipelines.ts';
import { type Sender, faultText } from './sender.ts';

// For the headers of a message and the frame around it.
const overheadBytes = 1_024;

/** Publishes OTLP requests on `<subject>.<signal>`, for whoever reads OTLP from NATS. */
export class NatsSender implements Sender {
  readonly #nats: Nats;
  readonly #connection: Extract<Connection, { type: 'nats' }>;

  constructor(connection: Extract<Connection, { type: 'nats' }>, nats: Nats) {
    this.#connection = connection;
    this.#nats = nats;
  }

  async send(signal: Signal, body: Uint8Array): Promise<Outcome> {
    const { subject, acknowledgedBy, timeoutMs } = this.#connection;
    const bytesMax = (this.#nats.connection.info?.max_payload ?? 1_048_576) - overheadBytes;
    // Half of it may fit.
    if (body.length > bytesMax) return { kind: 'refused', reason: `it is larger than ${bytesMax} bytes` };
    const headers = headersOf({ 'Content-Type': 'application/x-protobuf' });
    const options = headers === undefined ? {} : { headers };
    try {
      if (acknowledgedBy === 'stream')
        await this.#nats.js.publish(`${subject}.${signal}`, body, { timeout: timeoutMs, ...options });
      else {
        this.#nats.connection.publish(`${subject}.${signal}`, body, options);
        // The server has it when it answers what was sent behind it.
        await this.#nats.connection.flush();
      }
      return { kind: 'accepted', rejected: 0 };
    } catch (error) {
      return { kind: 'retry', reason: `NATS: ${faultText(error)}` };
    }
  }

  close(): void {
    // The connection is the process's own.
  }
}
