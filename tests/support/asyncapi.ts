import type { TSchema } from 'typebox';
import { CacheMap } from '#shared/protocol/cache-map.ts';
import {
  CacheClusterStats,
  CacheEvent,
  CacheStats,
  GetReply,
  LoadReply,
  MissedReply,
  cacheRequests,
} from '#shared/protocol/cache-schemas.ts';
import { errorTable } from '#shared/protocol/errors.ts';
import { QueueStatsList } from '#shared/protocol/http-schemas.ts';
import { batchItemsMax } from '#shared/protocol/limits.ts';
import { QueueNames, queueReplies } from '#shared/protocol/queue-reply-schemas.ts';
import {
  BriefQueueStats,
  Empty,
  Enqueued,
  EnqueueOptions,
  LeasedItem,
  QueuePage,
  QueueStatsPage,
  batchItems,
  finishFields,
  queueRequests,
} from '#shared/protocol/queue-schemas.ts';
import { telemetryQueries } from '#shared/protocol/telemetry-queries.ts';
import { telemetryRecords } from '#shared/protocol/telemetry-records.ts';
import { telemetryReplies } from '#shared/protocol/telemetry-replies.ts';
import { version } from '#shared/runtime/version.ts';

interface Channel {
  readonly address: string;
  readonly title: string;
  readonly request: object;
  readonly reply?: object;
  readonly parameters?: readonly string[];
}

const anyValue = { description: 'any bytes; JSON when it reads as JSON' };

/** Replies that have a schema of their own; the others are described in docs/protocol.md. */
const cacheReplies: Readonly<Record<string, TSchema>> = {
  get: GetReply,
  load: LoadReply,
  missed: MissedReply,
  stats: CacheStats,
  configure: CacheStats,
};

/** docs/asyncapi.json: AsyncAPI 3 from the schemas that the services validate with. */
export function asyncApi(): object {
  const channels = [...queueChannels(), ...cacheChannels(), ...overallChannels, ...telemetryChannels()];
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Trivet over NATS',
      version,
      license: { name: 'Apache-2.0' },
      description:
        'Made by `npm run docs` from the schemas that the services validate with. The words are in docs/protocol.md.',
    },
    defaultContentType: 'application/json',
    servers: { local: { host: '127.0.0.1:4222', protocol: 'nats' } },
    channels: Object.fromEntries(channels.map((channel) => [channel.title, channelObject(channel)])),
    operations: Object.fromEntries(channels.map((channel) => [channel.title, operationObject(channel)])),
    components: { schemas: { CacheEvent, LeasedItem, ...batchSchemas(), ErrorBody: errorBody } },
  };
}

/** What is asked of the whole cluster. */
const overallChannels: readonly Channel[] = [
  {
    address: 'trivet.queue.stats',
    title: 'queue.stats-all',
    request: QueueStatsPage,
    reply: { anyOf: [QueueStatsList, BriefQueueStats] },
  },
  { address: 'trivet.queue.list', title: 'queue.list-all', request: QueuePage, reply: QueueNames },
  { address: 'trivet.cache.stats', title: 'cache.stats-all', request: Empty, reply: CacheClusterStats },
  { address: 'trivet.cache.map', title: 'cache.map', request: Empty, reply: CacheMap },
];

function queueChannels(): readonly Channel[] {
  const operations = Object.keys(queueRequests) as (keyof typeof queueRequests)[];
  const requests = operations.map((operation) => ({
    address: `trivet.queue.{queue}.${operation}`,
    title: `queue.${operation}`,
    request: requestOf(operation),
    reply: queueReplies[operation],
    parameters: ['queue'],
  }));
  const options = { 'x-options-in-headers': EnqueueOptions };
  return [
    {
      address: 'trivet.jobs.{queue}',
      title: 'jobs',
      request: { ...anyValue, ...options },
      parameters: ['queue'],
    },
    {
      address: 'trivet.queue.{queue}.enqueue',
      title: 'queue.enqueue',
      request: { ...anyValue, ...options },
      reply: Enqueued,
      parameters: ['queue'],
    },
    ...requests,
  ];
}

/** Operations on leased items take one item, or a batch of them. */
function requestOf(operation: keyof typeof queueRequests): object {
  const single = queueRequests[operation];
  if (!Object.hasOwn(batchItems, operation)) return single;
  const finishes = operation === 'complete' || operation === 'fail';
  const items = {
    type: 'array',
    minItems: 1,
    maxItems: batchItemsMax,
    items: { $ref: `#/components/schemas/${itemName(operation)}` },
  };
  const batch = {
    type: 'object',
    required: ['items'],
    properties: { items, ...(finishes ? finishFields : {}) },
    additionalProperties: false,
  };
  return operation === 'enqueue-many' ? batch : { anyOf: [single, batch] };
}

const itemName = (operation: string): string => `Item-of-${operation}`;

const cacheChannels = (): readonly Channel[] =>
  Object.entries(cacheRequests).map(([operation, schema]) => ({
    address: `trivet.cache.{namespace}.${operation}`,
    title: `cache.${operation}`,
    request: schema,
    reply: cacheReplies[operation] ?? {},
    parameters: ['namespace'],
  }));

const telemetryChannels = (): readonly Channel[] => [
  ...Object.entries(telemetryRecords).map(([kind, schema]) => ({
    address: `trivet.telemetry.${kind}`,
    title: `telemetry.${kind}`,
    request: { anyOf: [schema, { type: 'array', items: schema }] },
  })),
  ...Object.entries(telemetryQueries).map(([query, schema]) => ({
    address: `trivet.telemetry-query.${query}`,
    title: `telemetry-query.${query}`,
    request: schema,
    reply: telemetryReplies[query as keyof typeof telemetryReplies],
  })),
];

function channelObject(channel: Channel): object {
  return {
    address: channel.address,
    messages: {
      request: { payload: channel.request },
      ...(channel.reply === undefined
        ? {}
        : { reply: { payload: { anyOf: [channel.reply, { $ref: '#/components/schemas/ErrorBody' }] } } }),
    },
    ...(channel.parameters === undefined
      ? {}
      : {
          parameters: Object.fromEntries(
            channel.parameters.map((name) => [
              name,
              { description: '1 to 64 characters of A-Z, a-z, 0-9, _ and -' },
            ]),
          ),
        }),
  };
}

function operationObject(channel: Channel): object {
  const reference = { $ref: `#/channels/${channel.title}` };
  return {
    action: 'receive',
    channel: reference,
    messages: [{ $ref: `#/channels/${channel.title}/messages/request` }],
    ...(channel.reply === undefined
      ? {}
      : {
          reply: {
            address: { location: '$message.header#/reply' },
            messages: [{ $ref: `#/channels/${channel.title}/messages/reply` }],
          },
        }),
  };
}

const batchSchemas = () =>
  Object.fromEntries(Object.entries(batchItems).map(([operation, schema]) => [itemName(operation), schema]));

const errorBody = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: {
        code: { enum: Object.keys(errorTable) },
        message: { type: 'string' },
        details: { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } },
      },
    },
  },
};
