import { type Static, Type } from 'typebox';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { ItemPath, QueuePath, QueueStatsList } from '#shared/protocol/http-schemas.ts';
import { Name, Strict } from '#shared/protocol/fields.ts';
import { settingsTagLengthMax } from '#shared/protocol/limits.ts';
import { QueueItemPage, QueueNames, queueReplies } from '#shared/protocol/queue-reply-schemas.ts';
import { List, QueueItem, QueuePage, QueueStats, queueRequests } from '#shared/protocol/queue-schemas.ts';
import {
  Configure,
  QueueDescription,
  Schedule,
  ScheduleView,
} from '#shared/protocol/queue-settings-schemas.ts';
import { ask, exactValueOf, valueOf, withMember } from './ask.ts';
import type { DequeueOptions } from './dequeue-endpoints.ts';
import { type Answer, type Endpoint, endpoint } from './endpoint.ts';
import { IfNoneMatch, isAmong, onlyTagIn, preconditionFailed, tagged, weakTag } from './entity-tag.ts';
import { awaitResult } from './queue-operation-endpoints.ts';

// Queues, items and schedules as things with addresses: what a browser, a cache or `curl` can read and change.

const SchedulePath = Strict({ queue_name: Name, schedule: Type.String({ minLength: 1, maxLength: 64 }) });
const IfMatch = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'The tag of the settings that are to be changed' })),
});
const AwaitQuery = Type.Omit(queueRequests.result, ['id'], { additionalProperties: false });
const LogsQuery = Type.Omit(queueRequests.logs, ['id'], { additionalProperties: false });
const ItemsQuery = Type.Omit(List, ['fields'], { additionalProperties: false });
const UpdateBody = Type.Omit(queueRequests.update, ['id'], { additionalProperties: false });

export const queueResourceEndpoints = (options: DequeueOptions): readonly Endpoint[] => [
  ...clusterViews(options),
  ...queueViews(options),
  settingsChange(options),
  ...itemViews(options),
  ...itemChanges(options),
  ...scheduleEndpoints(options),
];

const queueOf = (path: QueuePath) => ({ kind: 'queue', name: path.queue_name }) as const;
const itemOf = (path: ItemPath) => ({ ...queueOf(path), itemId: path.item_id });

const clusterViews = ({ nats, subjects }: DequeueOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/v1/queues',
    operationId: 'listQueues',
    summary: 'The names of all queues',
    tag: 'queue',
    access: { operation: 'queue.list-all', resource: () => ({ kind: 'cluster' }) },
    query: QueuePage,
    answers: { 200: { about: 'A page of names; `cursor` leads to the next.', schema: QueueNames } },
    handle: ({ query, traceHeaders }) => ask(nats, subjects.queueList, query, { headers: traceHeaders }),
  }),
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
    handle: ({ query, traceHeaders }) => ask(nats, subjects.queueStats, query, { headers: traceHeaders }),
  }),
];

const queueViews = ({ nats, subjects }: DequeueOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/v1/queues/:queue_name',
    operationId: 'describeQueue',
    summary: "A queue's settings and schedules",
    tag: 'queue',
    access: { operation: 'queue.describe', resource: ({ path }) => queueOf(path) },
    path: QueuePath,
    headers: IfNoneMatch,
    answers: {
      200: { about: 'The settings in effect, with a tag to change them by.', schema: QueueDescription },
      304: { about: 'They are as the caller knows them.' },
    },
    handle: async ({ path, headers, traceHeaders }) => {
      const subject = subjects.queue(path.queue_name, 'describe');
      const described = await ask(nats, subject, {}, { headers: traceHeaders });
      if (!described.ok) return described;
      return accept(tagged(described.value, headers['if-none-match'], settingsTag(described.value)));
    },
  }),
  ...(['stats', 'workers'] as const).map((operation) =>
    endpoint({
      method: 'GET',
      url: `/v1/queues/:queue_name/${operation}`,
      operationId: operation === 'stats' ? 'getQueueStats' : 'listQueueWorkers',
      summary: operation === 'stats' ? 'Figures of one queue' : 'Who works on a queue',
      tag: 'queue',
      access: { operation: `queue.${operation}`, resource: ({ path }) => queueOf(path) },
      path: QueuePath,
      answers: {
        200: {
          about: 'As they are now.',
          schema: operation === 'stats' ? QueueStats : queueReplies.workers,
        },
      },
      handle: ({ path, traceHeaders }) =>
        ask(nats, subjects.queue(path.queue_name, operation), {}, { headers: traceHeaders }),
    }),
  ),
  endpoint({
    method: 'DELETE',
    url: '/v1/queues/:queue_name',
    operationId: 'purgeQueue',
    summary: 'Remove a queue with its items, settings and schedules',
    tag: 'queue',
    access: { operation: 'queue.purge', resource: ({ path }) => queueOf(path) },
    path: QueuePath,
    answers: {
      200: { about: 'With `more`, ask again: there is more to remove.', schema: queueReplies.purge },
    },
    handle: ({ path, traceHeaders }) =>
      ask(nats, subjects.queue(path.queue_name, 'purge'), { all: true }, { headers: traceHeaders }),
  }),
];

const settingsTag = (answer: Answer): string => weakTag((valueOf(answer) as QueueDescription).tag);

const settingsChange = (options: DequeueOptions): Endpoint =>
  endpoint({
    method: 'PATCH',
    url: '/v1/queues/:queue_name',
    operationId: 'configureQueue',
    summary: "Change some of a queue's settings",
    tag: 'queue',
    access: { operation: 'queue.configure', resource: ({ path }) => queueOf(path) },
    path: QueuePath,
    headers: IfMatch,
    body: Configure,
    answers: { 200: { about: 'All settings, as they are from now on.', schema: QueueDescription } },
    refusals: ['conflict'],
    handle: async ({ path, headers, body, bytes, traceHeaders }) => {
      const known = headers['if-match'];
      const isConditional = known !== undefined && known.trim() !== '*';
      if (isConditional && body.ifTag !== undefined)
        return refuseField('ifTag', 'cannot stand beside the header If-Match');
      const subject = options.subjects.queue(path.queue_name, 'configure');
      const tag = isConditional ? await tagAmong(options, path, known, traceHeaders) : undefined;
      if (tag?.ok === false) return tag;
      // The broker compares and changes in one step.
      const asked = tag === undefined ? bytes : withMember(bytes, 'ifTag', tag.value);
      const changed = await ask(options.nats, subject, asked, { headers: traceHeaders });
      if (changed.ok) return accept(tagged(changed.value, undefined, settingsTag(changed.value)));
      if (isConditional && changed.error.code === 'conflict') throw preconditionFailed('the settings');
      return changed;
    },
  });

/** The one tag that is meant. Of several it is the one that holds now; none of them may hold a moment later. */
async function tagAmong(
  { nats, subjects }: DequeueOptions,
  { queue_name }: QueuePath,
  known: string,
  headers: Readonly<Record<string, string>>,
): Promise<Result<string>> {
  const only = onlyTagIn(known);
  if (only !== undefined && only !== '' && only.length <= settingsTagLengthMax) return accept(only);
  const described = await ask(nats, subjects.queue(queue_name, 'describe'), {}, { headers });
  if (!described.ok) return described;
  if (!isAmong(settingsTag(described.value), known)) throw preconditionFailed('the settings');
  return accept((valueOf(described.value) as QueueDescription).tag);
}

const itemViews = (options: DequeueOptions): readonly Endpoint[] => {
  const { nats, subjects } = options;
  return [
    endpoint({
      method: 'GET',
      url: '/v1/queues/:queue_name/items',
      operationId: 'listQueueItems',
      summary: 'The items of a queue, by state, priority, group, key, worker or text',
      tag: 'queue',
      // Who may see their own items alone asks for them by `owner`.
      access: {
        operation: 'queue.list',
        resource: ({ path, query }) => ({ ...queueOf(path), owner: query.owner }),
      },
      path: QueuePath,
      query: ItemsQuery,
      answers: { 200: { about: 'A page of items; `cursor` leads to the next.', schema: QueueItemPage } },
      handle: ({ path, query, traceHeaders }) =>
        ask(nats, subjects.queue(path.queue_name, 'list'), query, { headers: traceHeaders }),
    }),
    endpoint({
      method: 'GET',
      url: '/v1/queues/:queue_name/items/:item_id',
      operationId: 'getQueueItem',
      summary: 'One item with all that is known of it',
      tag: 'queue',
      access: { operation: 'queue.get', resource: ({ path }) => itemOf(path) },
      path: ItemPath,
      headers: IfNoneMatch,
      answers: {
        200: { about: 'The item.', schema: QueueItem },
        304: { about: 'It is as the caller knows it.' },
      },
      refusals: ['not_found'],
      handle: async ({ path, headers, traceHeaders }) => {
        const subject = subjects.queue(path.queue_name, 'get');
        const item = await ask(nats, subject, { id: path.item_id }, { headers: traceHeaders });
        return item.ok ? accept(tagged(item.value, headers['if-none-match'])) : item;
      },
    }),
    endpoint({
      method: 'GET',
      url: '/v1/queues/:queue_name/items/:item_id/result',
      operationId: 'awaitQueueItem',
      summary: 'The item, as soon as it is final or the wait is over',
      tag: 'queue',
      access: { operation: 'queue.result', resource: ({ path }) => itemOf(path) },
      path: ItemPath,
      query: AwaitQuery,
      answers: { 200: { about: 'The item; look at its state.', schema: QueueItem } },
      refusals: ['not_found'],
      handle: ({ path, query, traceHeaders, givenUp, isStillKnown }) => {
        const subject = subjects.queue(path.queue_name, 'result');
        const body = { id: path.item_id, ...query };
        return awaitResult(options, body, { subject, headers: traceHeaders, givenUp, isStillKnown });
      },
    }),
    endpoint({
      method: 'GET',
      url: '/v1/queues/:queue_name/items/:item_id/logs',
      operationId: 'getQueueItemLogs',
      summary: 'What the workers of an item wrote down',
      tag: 'queue',
      access: { operation: 'queue.logs', resource: ({ path }) => itemOf(path) },
      path: ItemPath,
      query: LogsQuery,
      answers: { 200: { about: 'Lines, the oldest first.', schema: queueReplies.logs } },
      refusals: ['not_found'],
      handle: ({ path, query, traceHeaders }) => {
        const subject = subjects.queue(path.queue_name, 'logs');
        return ask(nats, subject, { id: path.item_id, ...query }, { headers: traceHeaders });
      },
    }),
    endpoint({
      method: 'GET',
      url: '/v1/queues/:queue_name/items/:item_id/children',
      operationId: 'listQueueItemChildren',
      summary: 'The children of a flow and what they left',
      tag: 'queue',
      access: { operation: 'queue.children', resource: ({ path }) => itemOf(path) },
      path: ItemPath,
      answers: { 200: { about: 'The children.', schema: queueReplies.children } },
      refusals: ['not_found'],
      handle: ({ path, traceHeaders }) => {
        const subject = subjects.queue(path.queue_name, 'children');
        return ask(nats, subject, { id: path.item_id }, { headers: traceHeaders });
      },
    }),
  ];
};

const itemChanges = ({ nats, subjects }: DequeueOptions): readonly Endpoint[] => [
  endpoint({
    method: 'PATCH',
    url: '/v1/queues/:queue_name/items/:item_id',
    operationId: 'updateQueueItem',
    summary: 'Edit an item that waits',
    tag: 'queue',
    access: { operation: 'queue.update', resource: ({ path }) => itemOf(path) },
    path: ItemPath,
    body: UpdateBody,
    answers: { 200: { about: 'The item is changed.', schema: queueReplies.update } },
    refusals: ['not_found', 'wrong_state'],
    handle: ({ path, bytes, traceHeaders }) => {
      const subject = subjects.queue(path.queue_name, 'update');
      return ask(nats, subject, withMember(bytes, 'id', path.item_id), { headers: traceHeaders });
    },
  }),
  endpoint({
    method: 'DELETE',
    url: '/v1/queues/:queue_name/items/:item_id',
    operationId: 'purgeQueueItem',
    summary: 'Remove an item for good',
    tag: 'queue',
    access: { operation: 'queue.purge', resource: ({ path }) => itemOf(path) },
    path: ItemPath,
    answers: { 200: { about: 'It is gone.', schema: queueReplies.purge } },
    refusals: ['not_found', 'wrong_state'],
    handle: ({ path, traceHeaders }) => {
      const subject = subjects.queue(path.queue_name, 'purge');
      return ask(nats, subject, { id: path.item_id }, { headers: traceHeaders });
    },
  }),
];

type SchedulePath = Static<typeof SchedulePath>;

const schedulesIn = (answer: Answer): QueueDescription['schedules'] =>
  (exactValueOf(answer) as QueueDescription).schedules;

const scheduleEndpoints = ({ nats, subjects }: DequeueOptions): readonly Endpoint[] => {
  const schedulesOf = async (
    queue: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<Result<QueueDescription['schedules']>> => {
    const described = await ask(nats, subjects.queue(queue, 'describe'), {}, { headers });
    return described.ok ? accept(schedulesIn(described.value)) : described;
  };
  const change = async (
    { queue_name, schedule }: SchedulePath,
    to: Uint8Array | null,
    headers: Readonly<Record<string, string>>,
  ): Promise<Result<Answer>> => {
    // As it was written: its payload loses nothing that JavaScript cannot hold.
    const written = to === null ? 'null' : Buffer.from(to).toString();
    const body = Buffer.from(`{"schedules":{${JSON.stringify(schedule)}:${written}}}`);
    const changed = await ask(nats, subjects.queue(queue_name, 'configure'), body, { headers });
    if (!changed.ok) return changed;
    const now = schedulesIn(changed.value)[schedule];
    return accept(to === null ? { status: 204 } : { status: 200, body: now });
  };
  const noSuch = (schedule: string) => refuse('not_found', `there is no schedule ${schedule}`);
  return [
    endpoint({
      method: 'GET',
      url: '/v1/queues/:queue_name/schedules',
      operationId: 'listSchedules',
      summary: 'The schedules of a queue',
      tag: 'queue',
      access: { operation: 'queue.describe', resource: ({ path }) => queueOf(path) },
      path: QueuePath,
      answers: { 200: { about: 'By their names.', schema: QueueDescription.properties.schedules } },
      handle: async ({ path, traceHeaders }) => {
        const schedules = await schedulesOf(path.queue_name, traceHeaders);
        return schedules.ok ? accept({ status: 200, body: schedules.value }) : schedules;
      },
    }),
    endpoint({
      method: 'GET',
      url: '/v1/queues/:queue_name/schedules/:schedule',
      operationId: 'getSchedule',
      summary: 'One schedule',
      tag: 'queue',
      access: { operation: 'queue.describe', resource: ({ path }) => queueOf(path) },
      path: SchedulePath,
      answers: { 200: { about: 'The schedule.', schema: ScheduleView } },
      refusals: ['not_found'],
      handle: async ({ path, traceHeaders }) => {
        const schedules = await schedulesOf(path.queue_name, traceHeaders);
        if (!schedules.ok) return schedules;
        if (!Object.hasOwn(schedules.value, path.schedule)) return noSuch(path.schedule);
        return accept({ status: 200, body: schedules.value[path.schedule] });
      },
    }),
    endpoint({
      method: 'PUT',
      url: '/v1/queues/:queue_name/schedules/:schedule',
      operationId: 'putSchedule',
      summary: 'Make a schedule, or replace it',
      tag: 'queue',
      access: { operation: 'queue.configure', resource: ({ path }) => queueOf(path) },
      path: SchedulePath,
      body: Schedule,
      answers: { 200: { about: 'The schedule, with its next time.', schema: ScheduleView } },
      handle: ({ path, bytes, traceHeaders }) => change(path, bytes, traceHeaders),
    }),
    endpoint({
      method: 'DELETE',
      url: '/v1/queues/:queue_name/schedules/:schedule',
      operationId: 'deleteSchedule',
      summary: 'Remove a schedule',
      tag: 'queue',
      access: { operation: 'queue.configure', resource: ({ path }) => queueOf(path) },
      path: SchedulePath,
      answers: { 204: { about: 'It is gone, or was never there.' } },
      handle: ({ path, traceHeaders }) => change(path, null, traceHeaders),
    }),
  ];
};
