import { type CacheOperation, CacheRequest, CacheResponse } from '#shared/protocol/cache-schemas.ts';
import { accept } from '#shared/protocol/errors.ts';
import { CacheStatsList } from '#shared/protocol/http-schemas.ts';
import { isNamed, visitMembers } from '#shared/protocol/json-spans.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { ask } from './ask.ts';
import { CacheReads } from './cache-reads.ts';
import { cacheResourceEndpoints } from './cache-resource-endpoints.ts';
import type { Operation } from './core/operations.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

export interface CacheEndpointsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly reads: CacheReads;
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

export const cacheEndpoints = (options: Omit<CacheEndpointsOptions, 'reads'>): readonly Endpoint[] => {
  const parts = { ...options, reads: new CacheReads(options) };
  return [operationEndpoint(parts), statsEndpoint(parts), ...cacheResourceEndpoints(parts)];
};

const operationEndpoint = ({ nats, subjects, reads }: CacheEndpointsOptions): Endpoint =>
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
    handle: async ({ body, bytes, traceHeaders }) => {
      const { operation, namespace = namespaceDefault, ...request } = body;
      if (operation === 'get' && onlyKey(request)) return reads.get(namespace, request.key, traceHeaders);
      const asked = operation === 'set' ? exactly(bytes) : request;
      const options = { headers: traceHeaders };
      const answer = await ask(nats, subjects.cache(namespace, operation), asked, options);
      if (!answer.ok || operation !== 'stats') return answer;
      return accept({
        ...answer.value,
        json: `{"stats":${Buffer.from(answer.value.json ?? '').toString()}}`,
      });
    },
  });

/** Whether nothing but the key was given: what is too much is the cache's to refuse. */
const onlyKey = (request: { readonly key?: string | undefined }): request is { readonly key: string } =>
  request.key !== undefined && Object.keys(request).length === 1;

/** The request as it was written, without what is ours: its value loses nothing that JavaScript cannot hold. */
function exactly(bytes: Uint8Array): Uint8Array {
  const text = (start: number, end: number): string => Buffer.from(bytes.subarray(start, end)).toString();
  const members: string[] = [];
  visitMembers(bytes, 0, (name, value) => {
    if (ours.some((one) => isNamed(bytes, name, one))) return;
    members.push(`${text(name.start, name.end)}:${text(value.start, value.end)}`);
  });
  return Buffer.from(`{${members.join(',')}}`);
}

const ours = ['operation', 'namespace'] as const;

const statsEndpoint = ({ nats, subjects }: CacheEndpointsOptions): Endpoint =>
  endpoint({
    method: 'GET',
    url: '/cache/stats',
    operationId: 'cacheStats',
    summary: 'Figures of all namespaces',
    tag: 'cache',
    access: { operation: 'cache.stats-all', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'Figures of the cluster and of each namespace.', schema: CacheStatsList } },
    handle: ({ traceHeaders }) => ask(nats, subjects.cacheStats, {}, { headers: traceHeaders }),
  });
