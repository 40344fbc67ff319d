import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Outcome, outcomeOf } from './core/delivery.ts';
import type { Signal } from './core/otlp-chunks.ts';
import { jsonOfRequest } from './core/otlp-json.ts';
import type { Connection, OtlpTarget } from './core/pipelines.ts';
import { readPartial, readPartialJson } from './otlp-encoding.ts';
import { type Sender, faultOutcome, faultText, readableEnd } from './sender.ts';

const gzip = promisify(gzipCallback);

const contentTypes = { protobuf: 'application/x-protobuf', json: 'application/json' } as const;

// A receiver that says more than this says nothing that we would read.
const answerBytesMax = 65_536;
// Requests of one destination: one a signal and kind at a time.
const socketsMax = 4;

interface Answer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

/**
 * Sends OTLP requests over HTTP. The exporters of OpenTelemetry for JavaScript serve as they are for a process's own
 * figures (shared/runtime/telemetry.ts), not here: they hide `Retry-After` and the partial success from their caller
 * and take any 2xx for a success, and here a message is acknowledged on that answer. Their serializers are used.
 */
export class OtlpHttpSender implements Sender {
  readonly #connection: Extract<Connection, { type: 'otlp-http' }>;
  readonly #clock: Clock;
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: socketsMax });
  readonly #https = new HttpsAgent({ keepAlive: true, maxSockets: socketsMax });
  /** A request that is sent again is encoded once. */
  readonly #encoded = new WeakMap<Uint8Array, Buffer>();

  constructor(connection: Extract<Connection, { type: 'otlp-http' }>, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  async send(signal: Signal, body: Uint8Array): Promise<Outcome> {
    const target = this.#connection.targets[signal];
    if (target === undefined) return { kind: 'retry', reason: `there is no address for ${signal}` };
    try {
      const answer = await this.#post(target, await this.#encode(signal, body, target.gzip));
      return this.#read(signal, answer);
    } catch (error) {
      return faultOutcome(error);
    }
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  async #encode(signal: Signal, body: Uint8Array, isZipped: boolean): Promise<Buffer> {
    const known = this.#encoded.get(body);
    if (known !== undefined) return known;
    const plain =
      this.#connection.encoding === 'json'
        ? Buffer.from(JSON.stringify(jsonOfRequest(signal, body)))
        : Buffer.from(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength);
    const encoded = isZipped ? await gzip(plain) : plain;
    this.#encoded.set(body, encoded);
    return encoded;
  }

  #post(target: OtlpTarget, body: Buffer): Promise<Answer> {
    const { url, headers, gzip: isZipped, timeoutMs } = target;
    const isSecure = url.startsWith('https:');
    return new Promise((resolve, reject) => {
      const outgoing = (isSecure ? httpsRequest : httpRequest)(url, {
        method: 'POST',
        agent: isSecure ? this.#https : this.#http,
        headers: {
          'user-agent': 'trivet-telemetry',
          ...headers,
          'content-type': contentTypes[this.#connection.encoding],
          'content-length': body.length,
          ...(isZipped ? { 'content-encoding': 'gzip' } : {}),
        },
      });
      // From the first byte to the last one of the answer, so that a trickle does not hold a lane.
      const cancel = this.#clock.after(timeoutMs, () =>
        outgoing.destroy(new Error(`no answer in ${timeoutMs} ms`)),
      );
      const settle = (act: () => void) => {
        cancel();
        act();
      };
      outgoing.on('error', (error) => settle(() => reject(error)));
      outgoing.on('response', (incoming) => {
        readAnswer(incoming).then(
          (answer) => settle(() => resolve(answer)),
          (error: unknown) => settle(() => reject(error)),
        );
      });
      outgoing.end(body);
    });
  }

  #read(signal: Signal, { status, contentType, retryAfter, body }: Answer): Outcome {
    const { encoding } = this.#connection;
    const outcome = outcomeOf(
      { status, contentType, retryAfter, bodyBytes: body.length, encoding },
      this.#clock.nowMs(),
    );
    if (outcome.kind !== 'accepted') return { ...outcome, reason: `${outcome.reason}${readableEnd(body)}` };
    if (body.length === 0) return outcome;
    try {
      return { kind: 'accepted', ...(encoding === 'json' ? readPartialJson : readPartial)[signal](body) };
    } catch (error) {
      return { kind: 'retry', reason: `a success whose body is no OTLP response: ${faultText(error)}` };
    }
  }
}

async function readAnswer(incoming: IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > answerBytesMax) throw new Error(`the answer is longer than ${answerBytesMax} bytes`);
    parts.push(part);
  }
  return {
    status: incoming.statusCode ?? 0,
    contentType: incoming.headers['content-type'],
    retryAfter: incoming.headers['retry-after'],
    body: Buffer.concat(parts),
  };
}
