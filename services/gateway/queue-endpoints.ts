import { type Result, accept } from '#shared/protocol/errors.ts';
import {
  CompleteBody,
  Completed,
  FailBody,
  Failed,
  ItemPath,
  QueuePath,
  QueueRequest,
  QueueResponse,
} from '#shared/protocol/http-schemas.ts';
import { EnqueueItem } from '#shared/protocol/queue-schemas.ts';
import { ask, withMember } from './ask.ts';
import { inHttpWords, inSingleWords, itemText, optionsOf, withKey, withOwner } from './core/enqueue-item.ts';
import { ownerFrom } from './core/principal.ts';
import { Duplicates } from './duplicates.ts';
import { type DequeueOptions, dequeueEndpoints } from './dequeue-endpoints.ts';
import { type Answer, type Endpoint, endpoint } from './endpoint.ts';
import { EnqueueBatches } from './enqueue-batches.ts';
import { itemOwners } from './item-owners.ts';
import { queueOperationEndpoints } from './queue-operation-endpoints.ts';
import { queueResourceEndpoints } from './queue-resource-endpoints.ts';

export type QueueEndpointsOptions = DequeueOptions;

export const queueEndpoints = (options: QueueEndpointsOptions): readonly Endpoint[] => [
  ...enqueueEndpoints(options),
  ...dequeueEndpoints(options),
  ...finishEndpoints(options),
  ...queueResourceEndpoints(options),
  ...queueOperationEndpoints(options),
];

const enqueueEndpoints = (options: QueueEndpointsOptions): readonly Endpoint[] => {
  const batches = new EnqueueBatches(options);
  const duplicates = new Duplicates(itemOwners(options.nats, options.subjects));
  const operation = 'queue.enqueue';
  const about = 'The item is durable, or is known already (`duplicate`).';
  return [
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
      idempotency: 'used',
      answers: { 201: { about, schema: QueueResponse } },
      refusals: ['conflict', 'queue_full'],
      handle: async ({ body, bytes, idempotencyKey, traceHeaders, principal }) => {
        const owner = ownerFrom(principal);
        const asked = withKey(optionsOf(body), idempotencyKey, 'idempotency_key');
        if (!asked.ok) return asked;
        const text = itemText(bytes, withOwner(asked.value, owner), traceHeaders);
        const added = await batches.enqueue(
          body.queue_name,
          text,
          body.priority ?? 'normal',
          owner !== undefined,
        );
        if (!added.ok) return { ok: false, error: inHttpWords(added.error) };
        const others = await duplicates.refusal(
          { principal, operation, queue: body.queue_name },
          added.value,
        );
        if (others !== undefined) return { ok: false, error: others };
        return accept({ status: 201, body: added.value });
      },
    }),
    endpoint({
      method: 'POST',
      url: '/v1/queues/:queue_name/enqueue',
      operationId: 'queueEnqueueOperation',
      summary: "Enqueue one item, in the protocol's words",
      tag: 'queue',
      access: {
        operation: 'queue.enqueue',
        resource: ({ path }) => ({ kind: 'queue', name: path.queue_name }),
      },
      path: QueuePath,
      body: EnqueueItem,
      idempotency: 'used',
      answers: { 201: { about, schema: QueueResponse } },
      refusals: ['conflict', 'queue_full'],
      handle: async ({ path, body, bytes, idempotencyKey, traceHeaders, principal }) => {
        const owner = ownerFrom(principal);
        const { payload: _payload, ...given } = body;
        const asked = withKey(given, idempotencyKey, 'key');
        if (!asked.ok) return asked;
        const text = itemText(bytes, withOwner(asked.value, owner), traceHeaders);
        const added = await batches.enqueue(
          path.queue_name,
          text,
          body.priority ?? 'normal',
          owner !== undefined,
        );
        if (!added.ok) return { ok: false, error: inSingleWords(added.error) };
        const others = await duplicates.refusal(
          { principal, operation, queue: path.queue_name },
          added.value,
        );
        if (others !== undefined) return { ok: false, error: others };
        const location = `/v1/queues/${path.queue_name}/items/${added.value.id}`;
        return accept({ status: 201, headers: { Location: location }, body: added.value });
      },
    }),
  ];
};

const finishEndpoints = ({ nats, subjects }: QueueEndpointsOptions): readonly Endpoint[] => {
  const finish = (
    operation: 'complete' | 'fail',
    path: ItemPath,
    bytes: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ): Promise<Result<Answer>> =>
    ask(nats, subjects.queue(path.queue_name, operation), withMember(bytes, 'id', path.item_id), { headers });
  return [
    endpoint({
      method: 'POST',
      url: '/queue/:queue_name/:item_id/complete',
      operationId: 'queueComplete',
      summary: 'Complete a leased item',
      tag: 'queue',
      access: {
        operation: 'queue.complete',
        resource: ({ path }) => ({ kind: 'queue', name: path.queue_name, itemId: path.item_id }),
      },
      path: ItemPath,
      body: CompleteBody,
      answers: { 200: { about: 'The item is done. Repeating gives the same answer.', schema: Completed } },
      refusals: ['not_found', 'lease_lost', 'wrong_state'],
      handle: ({ path, bytes, traceHeaders }) => finish('complete', path, bytes, traceHeaders),
    }),
    endpoint({
      method: 'POST',
      url: '/queue/:queue_name/:item_id/fail',
      operationId: 'queueFail',
      summary: 'Report that an attempt at a leased item failed',
      tag: 'queue',
      access: {
        operation: 'queue.fail',
        resource: ({ path }) => ({ kind: 'queue', name: path.queue_name, itemId: path.item_id }),
      },
      path: ItemPath,
      body: FailBody,
      answers: { 200: { about: 'The item will be tried again, or has failed for good.', schema: Failed } },
      refusals: ['not_found', 'lease_lost', 'wrong_state'],
      handle: ({ path, bytes, traceHeaders }) => finish('fail', path, bytes, traceHeaders),
    }),
  ];
};
