import { encode } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import { type List, queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { findItem } from './core/lease-decisions.ts';
import type { Turn } from './core/turn.ts';
import { submitWithChildren } from './flow-operations.ts';
import { childPlaces } from './flow-views.ts';
import { listCursor, listItems } from './item-list.ts';
import { itemView, withPayload } from './item-views.ts';
import { type OperationContext, type QueueRequest, submitPlain } from './queue-request.ts';
import { listWorkers } from './worker-list.ts';

const checkGet = validator(queueRequests.get);
const checkList = validator(queueRequests.list);
const checkEmpty = validator(queueRequests.stats);

/** Bytes of a page besides its items. */
const pageEnvelopeBytes = 256;

/** What changes nothing. */
export const readingOperations = {
  get: getItem,
  list: (request: QueueRequest, body: unknown) =>
    submitPlain(request, checkList(body), (turn, query) => listPage(turn, request, query), 'nothing'),
  workers: (request: QueueRequest, body: unknown, { workers }: OperationContext) =>
    submitPlain(
      request,
      checkEmpty(body),
      (turn) =>
        accept(listWorkers(turn, request.queue, { registry: workers, line: request.partition.waiting })),
      'nothing',
    ),
  stats: (request: QueueRequest, body: unknown, { statistics }: OperationContext) =>
    submitPlain(
      request,
      checkEmpty(body),
      (turn) => accept(statistics.of(turn.table, request.queue, turn.at)),
      'nothing',
    ),
};

function getItem(request: QueueRequest, body: unknown, { courier }: OperationContext): Refusal | undefined {
  const checked = checkGet(body);
  if (!checked.ok) return checked.error;
  submitWithChildren(request, courier, {
    find: (turn) => findItem(turn, request.queue, checked.value.id),
    view: (turn, item) => itemView(turn.partition, withPayload(turn.table, item), request.encodings.reply),
    join: (children, states) => (children.length === 0 ? {} : { children: childPlaces(children, states) }),
  });
  return undefined;
}

function listPage(turn: Turn, request: QueueRequest, query: List): Result<unknown> {
  const page = listItems(turn.table, request.queue, query);
  if (!page.ok) return page;
  const { reply } = request.encodings;
  const items: object[] = [];
  let bytes = 0;
  let last = 0;
  for (const item of page.value.items) {
    const view = itemView(turn.partition, withPayload(turn.table, item), reply);
    bytes += encode(view, reply).length + 1;
    // What does not fit into the reply is left to the next page.
    if (items.length > 0 && bytes > turn.replyBytesMax - pageEnvelopeBytes)
      return accept({ items, cursor: listCursor(last) });
    items.push(view);
    last = item.order;
  }
  return accept({ items, ...(page.value.cursor === undefined ? {} : { cursor: page.value.cursor }) });
}
