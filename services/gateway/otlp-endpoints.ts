import { Type } from 'typebox';
import { json, mediaTypeOf } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { requestBytesMax } from '#shared/protocol/limits.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import { hasProtobufForm } from './core/protobuf-form.ts';
import { type Answer, type Call, type Endpoint, endpoint } from './endpoint.ts';
import { type TelemetryEndpointsOptions, unpublished } from './telemetry-endpoints.ts';

// OTLP over HTTP: any OpenTelemetry exporter can have this gateway as its endpoint (`<gateway>/v1/otlp`).

const protobuf = 'application/x-protobuf';
const publishMsMax = 10_000;

const signals = ['metrics', 'logs', 'traces'] as const;

const Answered = Type.Object({}, { additionalProperties: true });

export const otlpEndpoints = (options: TelemetryEndpointsOptions): readonly Endpoint[] =>
  signals.map((signal) =>
    endpoint({
      method: 'POST',
      url: `/v1/otlp/v1/${signal}`,
      operationId: `otlp${signal.slice(0, 1).toUpperCase()}${signal.slice(1)}`,
      summary: `OTLP ${signal}, as protobuf or JSON`,
      tag: 'telemetry',
      access: { operation: 'telemetry.otlp', resource: () => ({ kind: 'cluster' }) },
      headers: Type.Object({ 'content-type': Type.Optional(Type.String()) }),
      takes: [protobuf],
      bodyBytesMax: requestBytesMax,
      // What comes twice counts twice.
      idempotency: 'refused',
      answers: {
        200: { about: 'The request is durable; what is in it is exported.', schema: Answered },
      },
      handle: (call) => take(options, signal, call),
    }),
  );

type OtlpCall = Pick<
  Call<undefined, undefined, unknown, { readonly 'content-type'?: string }>,
  'body' | 'bytes' | 'headers' | 'traceHeaders'
>;

/** A request counts as taken once the stream has it. Its form is judged here, what is in it by the collectors. */
async function take(
  { nats, subjects }: TelemetryEndpointsOptions,
  signal: (typeof signals)[number],
  { body, bytes, headers, traceHeaders }: OtlpCall,
): Promise<Result<Answer>> {
  const isJson = mediaTypeOf(headers['content-type']) !== protobuf;
  if (isJson && (typeof body !== 'object' || body === null || Array.isArray(body)))
    return refuseField('body', 'must be an OTLP request');
  if (!isJson && !hasProtobufForm(bytes)) return refuseField('body', 'is no protobuf');
  if (bytes.length > 0) {
    const head = headersOf({ 'Content-Type': isJson ? json : protobuf, ...traceHeaders });
    try {
      await nats.js.publish(subjects.otlp(signal), bytes, {
        timeout: publishMsMax,
        ...(head === undefined ? {} : { headers: head }),
      });
    } catch (error) {
      const { code, message } = unpublished(error).error;
      return refuse(code, message);
    }
  }
  // ExportXServiceResponse without a partial success: nothing at all in protobuf.
  if (isJson) return accept({ status: 200, json: '{}' });
  return accept({ status: 200, contentType: protobuf, body: Buffer.alloc(0) });
}
