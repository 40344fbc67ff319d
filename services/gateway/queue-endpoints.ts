import { encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse } from '#shared/protocol/errors.ts';
import {
  CompleteBody,
  Completed,
  FailBody,
  Failed,
  ItemPath,
  QueueItemPage,
  QueuePath,
  QueueRequest,
  QueueResponse,
  QueueStatsList,
} from '#shared/protocol/http-schemas.ts';
import { List, QueueItem } from '#shared/protocol/queue-schemas.ts';
import { requestReply } from '#shared/client/request.ts';
import { enqueueMessage, inHttpWords } from './core/enqueue-message.ts';
import { type DequeueOptions, dequeueEndpoints } from './dequeue-endpoints.ts';
import { type Answer, type Endpoint, endpoint } from './endpoint.ts';

export type QueueEndpointsOptions = DequeueOptions;

export const queueEndpoints = (options: QueueEndpointsOptions): readonly Endpoint[] => [
  enqueueEndpoint(options),
  ...dequeueEndpoints(options),
  ...finishEndpoints(options),
  ...viewEndpoints(options),
];

const enqueueEndpoint = ({ nats, subjects }: QueueEndpointsOptions): Endpoint =>
  endpoint({
    method: 'POST',
    url: '/queue/enqueue',
    operationId: 'queueEnqueue',
    summary: 'Enqueue one item',
    tag: 'queue',
    access: {
      operation: 'queue.enqueue',
      resource: ({ body }) => ({ kind: 'queue', name: body.queue_name }),
    },
    body: QueueRequest,
    answers: {
      201: { about: 'The item is durable, or is known already (`duplicate`).', schema: QueueResponse },
    },
    refusals: ['conflict', 'queue_full'],
    handle: async ({ body, traceHeaders }) => {
      const message = enqueueMessage(body);
      const subject = subjects.queue(body.queue_name, message.operation);
      const many = message.operation === 'enqueue-many';
      const reply = await requestReply(
        nats,
        subject,
        many ? { items: message.items } : encode(message.payload, json),
        { headers: many ? traceHeaders : { ...traceHeaders, ...message.headers } },
      );
      const one = reply.ok && many ? onlyItem(reply.value, body) : reply;
      return one.ok ? accept({ status: 201, body: one.value }) : { ok: false, error: inHttpWords(one.error) };
    },
  });

/** The one result of `enqueue-many`, in the shape of `enqueue`. */
function onlyItem(reply: unknown, request: QueueRequest): Result<unknown> {
  const item = (reply as { readonly items?: readonly { readonly error?: Refusal }[] }).items?.[0];
  if (item === undefined) return refuse('internal', 'the reply to enqueue-many holds no item');
  if (item.error !== undefined) return { ok: false, error: item.error };
  return accept({ queue: request.queue_name, priority: request.priority ?? 'normal', ...item });
}

const finishEndpoints = ({ nats, subjects }: QueueEndpointsOptions): readonly Endpoint[] => {
  const finish = async (
    operation: 'complete' | 'fail',
    path: ItemPath,
    body: CompleteBody | FailBody,
    headers: Readonly<Record<string, string>>,
  ): Promise<Result<Answer>> => {
    const subject = subjects.queue(path.queue_name, operation);
    const reply = await requestReply(nats, subject, { id: path.item_id, ...body }, { headers });
    return reply.ok ? accept({ status: 200, body: reply.value }) : reply;
  };
  return [
    endpoint({
      method: 'POST',
      url: '/queue/:queue_name/:item_id/complete',
      operationId: 'queueComplete',
      summary: 'Complete a leased item',
      tag: 'queue',
      access: {
        operation: 'queue.complete',
        resource: ({ path }) => ({ kind: 'queue', name: path.queue_name }),
      },
      path: ItemPath,
      body: CompleteBody,
      answers: { 200: { about: 'The item is done. Repeating gives the same answer.', schema: Completed } },
      refusals: ['not_found', 'lease_lost', 'wrong_state'],
      handle: ({ path, body, traceHeaders }) => finish('complete', path, body, traceHeaders),
    }),
    endpoint({
      method: 'POST',
      url: '/queue/:queue_name/:item_id/fail',
      operationId: 'queueFail',
      summary: 'Report that an attempt at a leased item failed',
      tag: 'queue',
      access: {
        operation: 'queue.fail',
        resource: ({ path }) => ({ kind: 'queue', name: path.queue_name }),
      },
      path: ItemPath,
      body: FailBody,
      answers: { 200: { about: 'The item will be tried again, or has failed for good.', schema: Failed } },
      refusals: ['not_found', 'lease_lost', 'wrong_state'],
      handle: ({ path, body, traceHeaders }) => finish('fail', path, body, traceHeaders),
    }),
  ];
};

const viewEndpoints = ({ nats, subjects }: QueueEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/queue/stats',
    operationId: 'queueStats',
    summary: 'Figures of all queues',
    tag: 'queue',
    access: { operation: 'queue.stats', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'Figures of every queue.', schema: QueueStatsList } },
    handle: async ({ traceHeaders }) => {
      const reply = await requestReply(nats, subjects.queueStats, {}, { headers: traceHeaders });
      return reply.ok ? accept({ status: 200, body: reply.value }) : reply;
    },
  }),
  endpoint({
    method: 'GET',
    url: '/v1/queues/:queue_name/items',
    operationId: 'listQueueItems',
    summary: 'The items of a queue, by state, priority or group',
    tag: 'queue',
    access: { operation: 'queue.list', resource: ({ path }) => ({ kind: 'queue', name: path.queue_name }) },
    path: QueuePath,
    query: List,
    answers: { 200: { about: 'A page of items; `cursor` leads to the next.', schema: QueueItemPage } },
    handle: async ({ path, query, traceHeaders }) => {
      const subject = subjects.queue(path.queue_name, 'list');
      const reply = await requestReply(nats, subject, query, { headers: traceHeaders });
      return reply.ok ? accept({ status: 200, body: reply.value }) : reply;
    },
  }),
  endpoint({
    method: 'GET',
    url: '/v1/queues/:queue_name/items/:item_id',
    operationId: 'getQueueItem',
    summary: 'One item with all that is known of it',
    tag: 'queue',
    access: { operation: 'queue.get', resource: ({ path }) => ({ kind: 'queue', name: path.queue_name }) },
    path: ItemPath,
    answers: { 200: { about: 'The item.', schema: QueueItem } },
    refusals: ['not_found'],
    handle: async ({ path, traceHeaders }) => {
      const subject = subjects.queue(path.queue_name, 'get');
      const reply = await requestReply(nats, subject, { id: path.item_id }, { headers: traceHeaders });
      return reply.ok ? accept({ status: 200, body: reply.value }) : reply;
    },
  }),
];
