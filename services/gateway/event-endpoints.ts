import { Type } from 'typebox';
import { accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { Name, Strict } from '#shared/protocol/fields.ts';
import { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { authorize } from './core/authorization.ts';
import type { LiveEvent } from './core/event-window.ts';
import type { Principal } from './core/principal.ts';
import { type Endpoint, endpoint } from './endpoint.ts';
import type { EventStreams } from './event-stream.ts';

export interface EventEndpointsOptions {
  readonly streams: EventStreams;
  readonly streamsMax: number;
  /** Of one principal. */
  readonly streamsEachMax: number;
}

const EventsQuery = Strict({
  queue: Type.Optional(Name),
  state: Type.Optional(QueueStatus),
  namespace: Type.Optional(Name),
});

const lastEventIdLengthMax = 64;

export const eventEndpoints = ({
  streams,
  streamsMax,
  streamsEachMax,
}: EventEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/v1/events',
    operationId: 'watchEvents',
    summary: 'Live events of queues and namespaces (server-sent events)',
    tag: 'events',
    access: {
      operation: ({ query }) =>
        query.queue !== undefined
          ? 'queue.events'
          : query.namespace !== undefined
            ? 'cache.events'
            : 'events.watch',
      resource: ({ query }) => {
        if (query.queue !== undefined) return { kind: 'queue', name: query.queue };
        if (query.namespace !== undefined) return { kind: 'namespace', name: query.namespace };
        return { kind: 'cluster' };
      },
    },
    query: EventsQuery,
    headers: Type.Object({
      'last-event-id': Type.Optional(
        Type.String({ description: 'The id of the event that was read last: goes on behind it' }),
      ),
    }),
    answers: {
      200: { about: 'Events, until one leaves.', schema: Type.String(), contentType: 'text/event-stream' },
    },
    handle: ({ query, headers, principal, isStillKnown, givenUp }) => {
      const { queue, state, namespace } = query;
      if (queue !== undefined && namespace !== undefined)
        return Promise.resolve(refuseField('namespace', 'and queue exclude each other'));
      if (state !== undefined && namespace !== undefined)
        return Promise.resolve(refuseField('state', 'is of queues alone'));
      const lastEventId = headers['last-event-id'];
      if (lastEventId !== undefined && lastEventId.length > lastEventIdLengthMax)
        return Promise.resolve(refuseField('Last-Event-ID', 'must be an id that an event had'));
      // The others were ended when the drain began; this one would never be, and the gateway would wait for it.
      if (givenUp()) return Promise.resolve(refuse('unavailable', 'the gateway is about to end'));
      if (principal === undefined || streams.count >= streamsMax)
        return Promise.resolve(refuse('rate_limited', `there are ${streamsMax} streams already`));
      if (streams.countOf(principal.id) >= streamsEachMax)
        return Promise.resolve(
          refuse('rate_limited', `${principal.name} has ${streamsEachMax} streams already`),
        );
      const shows = (event: LiveEvent): boolean =>
        (queue === undefined || (event.area === 'queue' && event.name === queue)) &&
        (namespace === undefined || (event.area === 'cache' && event.name === namespace)) &&
        (state === undefined || event.state === state) &&
        maySee(principal, event);
      return Promise.resolve(
        accept({
          status: 200,
          stream: (response, sent) =>
            streams.serve(response, sent, {
              reader: principal.id,
              lastEventId,
              shows,
              mayStay: isStillKnown,
            }),
        }),
      );
    },
  }),
];

/** Asked for every event, so that a stream of everything shows each caller what is his to see. */
function maySee(principal: Principal, { area, name }: LiveEvent): boolean {
  if (area === 'queue') return authorize(principal, 'queue.events', { kind: 'queue', name }).allowed;
  if (area === 'cache') return authorize(principal, 'cache.events', { kind: 'namespace', name }).allowed;
  // What is of no queue and no namespace is for those who may see the whole cluster.
  return authorize(principal, 'cluster.describe', { kind: 'cluster' }).allowed;
}
