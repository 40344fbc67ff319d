import { Type } from 'typebox';
import { CacheClusterStats } from '#shared/protocol/cache-schemas.ts';
import { accept, refuse } from '#shared/protocol/errors.ts';
import { Health } from '#shared/protocol/http-schemas.ts';
import { BriefQueueStats } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Validator, validator } from '#shared/protocol/validation.ts';
import { requestReply } from '#shared/client/request.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { authorize } from './core/authorization.ts';
import { cacheFamilies, namedMax, queueFamilies } from './core/cluster-families.ts';
import type { Operation } from './core/operations.ts';
import type { Principal } from './core/principal.ts';
import { prometheusText } from './core/prometheus-families.ts';
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
/** A scrape must not hang on a service that is away: its own figures come without the others'. */
const answerMsMax = 2_000;

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
    summary: 'Metrics of this gateway, of queues and caches, and of the collectors where one answers',
    tag: 'gateway',
    access: { operation: 'gateway.metrics', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'Prometheus text.', schema: Type.String(), contentType: 'text/plain' } },
    handle: async ({ principal }) => {
      const others = await Promise.all([clusterText(options, principal), collectorText(options)]);
      const text = options.figures.prometheusText() + options.streams.prometheusText() + others.join('');
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
  const reply = await answered(nats, subjects.telemetryQuery('prometheus'), {}, isText);
  return reply?.text ?? '';
}

/** Queues and caches, as far as whoever asks may see them and somebody answers. */
async function clusterText(
  { nats, subjects }: GatewayEndpointsOptions,
  principal: Principal | undefined,
): Promise<string> {
  const mayDo = (operation: Operation) =>
    principal !== undefined && authorize(principal, operation, { kind: 'cluster' }).allowed;
  const brief = { brief: true, limit: namedMax };
  const [queues, caches] = await Promise.all([
    mayDo('queue.stats-all') ? answered(nats, subjects.queueStats, brief, areQueues) : undefined,
    mayDo('cache.stats-all') ? answered(nats, subjects.cacheStats, {}, areCaches) : undefined,
  ]);
  return prometheusText([
    ...(queues === undefined ? [] : queueFamilies(queues)),
    ...(caches === undefined ? [] : cacheFamilies(caches)),
  ]);
}

const isText = validator(Type.Object({ text: Type.String() }));
const areQueues = validator(BriefQueueStats);
const areCaches = validator(CacheClusterStats);

/** What a service answers; undefined where none does in time, or it says something else. */
async function answered<T>(
  nats: Nats,
  subject: string,
  body: object,
  check: Validator<T>,
): Promise<T | undefined> {
  const reply = await requestReply(nats, subject, body, { timeoutMs: answerMsMax });
  const checked = reply.ok ? check(reply.value) : reply;
  return checked.ok ? checked.value : undefined;
}
