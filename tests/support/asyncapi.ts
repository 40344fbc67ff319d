import type { TSchema } from 'typebox';
import {
  CacheEvent,
  CacheStats,
  GetReply,
  LoadReply,
  MissedReply,
  cacheRequests,
} from '#shared/protocol/cache-schemas.ts';
import { errorTable } from '#shared/protocol/errors.ts';
import {
  Enqueued,
  EnqueueOptions,
  LeasedItem,
  QueueItem,
  QueueStats,
  batchItems,
  queueRequests,
} from '#shared/protocol/queue-schemas.ts';
import { QueueDescription } from '#shared/protocol/queue-settings-schemas.ts';
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
const queueReplies: Readonly<Record<string, TSchema>> = {
  enqueue: Enqueued,
  get: QueueItem,
  stats: QueueStats,
  configure: QueueDescription,
  describe: QueueDescription,
};
const cacheReplies: Readonly<Record<string, TSchema>> = {
  get: GetReply,
  load: LoadReply,
  missed: MissedReply,
  stats: CacheStats,
  configure: CacheStats,
};

/** docs/asyncapi.json: AsyncAPI 3 from the schemas that the services validate with. */
export function asyncApi(): object {
  const channels = [...queueChannels(), ...cacheChannels(), ...telemetryChannels()];
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

function queueChannels(): readonly Channel[] {
  const requests = Object.entries(queueRequests).map(([operation, schema]) => ({
    address: `trivet.queue.{queue}.${operation}`,
    title: `queue.${operation}`,
    request: schema,
    reply: queueReplies[operation] ?? {},
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
  Object.fromEntries(
    Object.entries(batchItems).map(([operation, schema]) => [
      `Item of ${operation}`.replaceAll(' ', '-'),
      schema,
    ]),
  );

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
