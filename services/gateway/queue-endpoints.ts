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
import { List, QueueItem, QueuePage } from '#shared/protocol/queue-schemas.ts';
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
      const reply =
        message.operation === 'enqueue'
          ? await requestReply(
              nats,
              subjects.queue(body.queue_name, 'enqueue'),
              encode(message.payload, json),
              { headers: { ...traceHeaders, ...message.headers } },
            )
          : await enqueueOne({ nats, subjects }, body, message.items, traceHeaders);
      if (!reply.ok) return { ok: false, error: inHttpWords(reply.error) };
      return accept({ status: 201, body: reply.value });
    },
  });

interface EnqueuedOne {
  readonly id: string;
  readonly duplicate: boolean;
  readonly error?: Refusal;
}

/** `enqueue-many` with one item, answered in the shape of `enqueue`. */
async function enqueueOne(
  { nats, subjects }: Pick<QueueEndpointsOptions, 'nats' | 'subjects'>,
  request: QueueRequest,
  items: readonly unknown[],
  headers: Readonly<Record<string, string>>,
): Promise<Result<unknown>> {
  const queue = request.queue_name;
  const reply = await requestReply(nats, subjects.queue(queue, 'enqueue-many'), { items }, { headers });
  if (!reply.ok) return reply;
  const one = (reply.value as { readonly items?: readonly EnqueuedOne[] }).items?.[0];
  if (one === undefined) return refuse('internal', 'the reply to enqueue-many holds no item');
  if (one.error !== undefined) return { ok: false, error: one.error };
  if (!one.duplicate) return accept({ ...one, queue, priority: request.priority ?? 'normal' });
  // The item that is there already has the priority that it was enqueued with, not the one of this request.
  const known = await requestReply(nats, subjects.queue(queue, 'get'), { id: one.id }, { headers });
  if (!known.ok) return known;
  return accept({ ...one, queue, priority: (known.value as Pick<QueueItem, 'priority'>).priority });
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
    access: { operation: 'queue.stats-all', resource: () => ({ kind: 'cluster' }) },
    query: QueuePage,
    answers: {
      200: { about: 'Figures of queues; `cursor` leads to the next page.', schema: QueueStatsList },
    },
    handle: async ({ query, traceHeaders }) => {
      const reply = await requestReply(nats, subjects.queueStats, query, { headers: traceHeaders });
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
