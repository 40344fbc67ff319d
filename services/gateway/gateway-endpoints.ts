import { Type } from 'typebox';
import { accept, refuse } from '#shared/protocol/errors.ts';
import { Health } from '#shared/protocol/http-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { requestReply } from '#shared/client/request.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { RequestFigures } from './core/request-figures.ts';
import { type Endpoint, endpoint } from './endpoint.ts';
import type { EventStreams } from './event-stream.ts';
import type { Readiness } from './readiness.ts';

export interface GatewayEndpointsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly readiness: Readiness;
  readonly figures: RequestFigures;
  readonly streams: EventStreams;
  /** The OpenAPI document; asked for when all routes are known. */
  readonly openApi: () => object;
}

const prometheusContentType = 'text/plain; version=0.0.4; charset=utf-8';
/** A scrape must not hang on a collector that is away: its own figures come without the collectors'. */
const collectorMsMax = 2_000;

export const gatewayEndpoints = (options: GatewayEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/health/live',
    operationId: 'healthLive',
    summary: 'The gateway runs',
    tag: 'gateway',
    access: 'public',
    answers: { 200: { about: 'It runs.', schema: Health } },
    handle: () => Promise.resolve(accept({ status: 200, body: { status: 'live' } })),
  }),
  endpoint({
    method: 'GET',
    url: '/health/ready',
    operationId: 'healthReady',
    summary: 'NATS and the other services answer',
    tag: 'gateway',
    access: 'public',
    answers: { 200: { about: 'All that is needed answers.', schema: Health } },
    handle: async () => {
      const missing = await options.readiness.missing();
      if (missing.length === 0) return accept({ status: 200, body: { status: 'ready' } });
      return refuse('unavailable', `no answer from ${missing.join(', ')}`, { missing: missing.join(', ') });
    },
  }),
  endpoint({
    method: 'GET',
    url: '/metrics',
    operationId: 'metrics',
    summary: "The gateway's own metrics, and the collectors' where one answers",
    tag: 'gateway',
    access: { operation: 'gateway.metrics', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'Prometheus text.', schema: Type.String(), contentType: 'text/plain' } },
    handle: async () => {
      const text =
        options.figures.prometheusText() + options.streams.prometheusText() + (await collectorText(options));
      return accept({ status: 200, body: text, contentType: prometheusContentType });
    },
  }),
  endpoint({
    method: 'GET',
    url: '/openapi.json',
    operationId: 'openApi',
    summary: 'This document',
    tag: 'gateway',
    access: { operation: 'gateway.openapi', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'OpenAPI 3.1.', schema: Type.Object({}, { additionalProperties: true }) } },
    handle: () => Promise.resolve(accept({ status: 200, body: options.openApi() })),
  }),
];

async function collectorText({ nats, subjects }: GatewayEndpointsOptions): Promise<string> {
  const subject = subjects.telemetryQuery('prometheus');
  const reply = await requestReply(nats, subject, {}, { timeoutMs: collectorMsMax });
  const text = reply.ok ? (reply.value as { readonly text?: unknown } | undefined)?.text : undefined;
  return typeof text === 'string' ? text : '';
}
