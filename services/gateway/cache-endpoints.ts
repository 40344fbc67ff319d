import { type CacheOperation, CacheRequest, CacheResponse } from '#shared/protocol/cache-schemas.ts';
import { accept } from '#shared/protocol/errors.ts';
import { CacheStatsList } from '#shared/protocol/http-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { requestReply } from '#shared/client/request.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { Operation } from './core/operations.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

export interface CacheEndpointsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
}

const namespaceDefault = 'default';

const authorizedAs: Readonly<Record<CacheOperation, Operation>> = {
  get: 'cache.get',
  set: 'cache.set',
  delete: 'cache.delete',
  clear: 'cache.clear',
  exists: 'cache.exists',
  stats: 'cache.stats',
};

export const cacheEndpoints = ({ nats, subjects }: CacheEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'POST',
    url: '/cache/operation',
    operationId: 'cacheOperation',
    summary: 'Get, set, delete, clear, exists or stats in one namespace',
    tag: 'cache',
    access: {
      operation: ({ body }) => authorizedAs[body.operation],
      resource: ({ body }) => ({ kind: 'namespace', name: body.namespace ?? namespaceDefault }),
    },
    body: CacheRequest,
    answers: { 200: { about: 'What the operation answers.', schema: CacheResponse } },
    refusals: ['conflict'],
    handle: async ({ body, traceHeaders }) => {
      const { operation, namespace = namespaceDefault, ...request } = body;
      const reply = await requestReply(nats, subjects.cache(namespace, operation), request, {
        headers: traceHeaders,
      });
      if (!reply.ok) return reply;
      return accept({ status: 200, body: operation === 'stats' ? { stats: reply.value } : reply.value });
    },
  }),
  endpoint({
    method: 'GET',
    url: '/cache/stats',
    operationId: 'cacheStats',
    summary: 'Figures of all namespaces',
    tag: 'cache',
    access: { operation: 'cache.stats-all', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'Figures of the cluster and of each namespace.', schema: CacheStatsList } },
    handle: async ({ traceHeaders }) => {
      const reply = await requestReply(nats, subjects.cacheStats, {}, { headers: traceHeaders });
      return reply.ok ? accept({ status: 200, body: reply.value }) : reply;
    },
  }),
];
