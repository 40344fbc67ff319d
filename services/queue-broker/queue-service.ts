import { decode, encode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { replyBytesMax, requestBytesMax } from '#shared/protocol/limits.ts';
import { isName } from '#shared/protocol/names.ts';
import { partitionOf } from '#shared/protocol/partition.ts';
import {
  type QueueOperation,
  isQueueOperation,
  priorities,
  queueRequests,
} from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import { type RequestEncodings, requestEncodings } from '#shared/runtime/replies.ts';
import type { Callers, UnclaimedLease } from './callers.ts';
import { decideCancel, decidePause, decideReplay, decideReprioritize } from './core/admin-decisions.ts';
import { decideComplete, decideExtend, decideFail, decideRelease, findItem } from './core/lease-decisions.ts';
import type { Turn } from './core/turn.ts';
import { listCursor, listItems } from './item-list.ts';
import { itemView, withPayload } from './item-views.ts';
import type { Observer } from './observation.ts';
import type { NotedRequest } from './log-bytes.ts';
import type { Partition } from './partition.ts';
import {
  type LeasedCall,
  leasedReaders,
  readDequeue,
  readEnqueue,
  readEnqueueMany,
} from './queue-requests.ts';
import type { QueueStatistics } from './queue-statistics.ts';
import * as works from './queue-works.ts';
import type { Room } from './work.ts';

export interface QueueServiceOptions {
  readonly subjects: Subjects;
  readonly partitions: readonly Partition[];
  readonly callers: Callers;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly statistics: QueueStatistics;
}

/** One request on its way: what came, how to answer, and to whom it belongs. */
interface Request {
  readonly message: Msg;
  readonly queue: string;
  readonly encodings: RequestEncodings;
  readonly caller: works.Caller;
  readonly partition: Partition;
}

const checkGet = validator(queueRequests.get);
const checkList = validator(queueRequests.list);
const checkEmpty = validator(queueRequests.stats);
const checkReplay = validator(queueRequests.replay);
const checkReprioritize = validator(queueRequests.reprioritize);

/** Bytes of a page besides its items. */
const pageEnvelopeBytes = 256;

/** Items that `replay` by state takes at once, when the caller names no limit. */
const replayedDefault = 100;

/** Requests over NATS: message in → decode → validate → into the turn of the queue's partition. */
export class QueueService {
  readonly #options: QueueServiceOptions;

  constructor(options: QueueServiceOptions) {
    this.#options = options;
  }

  /** Takes one message of `trivet.queue.<queue>.<operation>`. Never throws: bad input gets a coded reply. */
  receive(message: Msg): void {
    const startedMs = this.#options.clock.monotonicMs();
    const [queue = '', operation = ''] = message.subject.split('.').slice(-2);
    const encodings = encodingsOf(message, operation);
    const encoding = encodings.ok ? encodings.value.reply : json;
    const caller = this.#options.callers.of(message, encoding, (refusal) => {
      const endedMs = this.#options.clock.monotonicMs();
      this.#options.observer.answered(message, {
        operation: isQueueOperation(operation) ? operation : 'unknown',
        queue,
        startedMs,
        endedMs,
        refusal,
      });
    });
    if (!encodings.ok) return caller.refuse(encodings.error);
    const partition = this.#partitionOf(queue);
    if (!isName(queue) || partition === undefined) return caller.refuse(badQueue);
    if (!isQueueOperation(operation)) return caller.refuse(unknownOperation(operation));
    if (message.data.length > requestBytesMax) return caller.refuse(tooLarge(message.data.length));
    const fault = this.#take(operation, { message, queue, encodings: encodings.value, caller, partition });
    if (fault !== undefined) caller.refuse(fault);
  }

  /** Takes a message of `trivet.queue.stats` or `trivet.queue.list`: every queue of every partition. */
  receiveOverall(message: Msg, what: 'stats' | 'list'): void {
    const encodings = requestEncodings(message);
    const encoding = encodings.ok ? encodings.value.reply : json;
    const caller = this.#options.callers.of(message, encoding, () => undefined);
    if (!encodings.ok) return caller.refuse(encodings.error);
    const body = decode(message.data, encodings.value.request);
    const checked = body.ok ? checkEmpty(orEmpty(body.value)) : body;
    if (!checked.ok) return caller.refuse(checked.error);
    this.#gather(caller, what);
  }

  /** Hands back what nobody was there to take. */
  release(lease: UnclaimedLease): void {
    const partition = this.#partitionOf(lease.queue);
    if (partition === undefined) return;
    partition.submit({
      bytes: 0,
      room: 'always',
      decide: (turn) => {
        for (const item of lease.items) decideRelease(turn, lease.queue, item);
        return () => undefined;
      },
      refuse: () => undefined,
    });
  }

  /** Takes the request in, or says why not. */
  #take(operation: QueueOperation, request: Request): Refusal | undefined {
    const { message, queue, caller, partition, encodings } = request;
    if (operation === 'enqueue') {
      const read = readEnqueue(queue, message.data, message.headers, true);
      if (!read.ok) return read.error;
      partition.submit(works.enqueueWork(read.value, caller));
      return undefined;
    }
    const body = decode(message.data, encodings.request);
    if (!body.ok) return body.error;
    if (operation === 'enqueue-many') {
      const read = readEnqueueMany(queue, body.value, encodings.request);
      if (!read.ok) return read.error;
      partition.submit(works.enqueueManyWork(read.value, caller));
      return undefined;
    }
    if (operation === 'dequeue') {
      const read = readDequeue(queue, orEmpty(body.value), message.headers?.get('Nats-Msg-Id'));
      if (!read.ok) return read.error;
      partition.submit(works.dequeueWork(partition, read.value, caller));
      return undefined;
    }
    return this.#takeOther(operation, orEmpty(body.value), request);
  }

  #takeOther(
    operation: Exclude<QueueOperation, 'enqueue' | 'enqueue-many' | 'dequeue'>,
    body: unknown,
    request: Request,
  ): Refusal | undefined {
    switch (operation) {
      case 'complete':
        return this.#takeLeased(request, leasedReaders.complete(body), decideComplete, works.completedView);
      case 'fail':
        return this.#takeLeased(request, leasedReaders.fail(body), decideFail, works.failedView);
      case 'extend':
        return this.#takeLeased(request, leasedReaders.extend(body), decideExtend, works.extendedView);
      case 'release':
        return this.#takeLeased(request, leasedReaders.release(body), decideRelease, works.completedView);
      case 'get':
        return this.#takePlain(
          request,
          checkGet(body),
          (turn, { id }) => this.#get(turn, request, id),
          'nothing',
        );
      case 'list':
        return this.#takePlain(
          request,
          checkList(body),
          (turn, query) => this.#list(turn, request, query),
          'nothing',
        );
      case 'stats':
        return this.#takePlain(
          request,
          checkEmpty(body),
          (turn) => accept(this.#options.statistics.of(turn.table, request.queue, turn.at)),
          'nothing',
        );
      case 'cancel':
        return this.#takePlain(request, checkGet(body), (turn, { id }) =>
          decideCancel(turn, request.queue, id),
        );
      case 'replay':
        return this.#takePlain(request, checkReplay(body), (turn, query) =>
          this.#replay(turn, request, query),
        );
      case 'reprioritize':
        return this.#takePlain(request, checkReprioritize(body), (turn, { id, priority }) => {
          const decided = decideReprioritize(turn, request.queue, id, priorities.indexOf(priority));
          return decided.ok ? accept({ id, priority }) : decided;
        });
      case 'pause':
        return this.#takePlain(request, checkEmpty(body), (turn) => {
          decidePause(turn, request.queue, true);
          return accept({ queue: request.queue, paused: true });
        });
      case 'resume':
        return this.#resume(request, checkEmpty(body));
    }
  }

  #takeLeased<R extends NotedRequest, A>(
    request: Request,
    call: Result<LeasedCall<R>>,
    decide: (turn: Turn, queue: string, request: R) => Result<A>,
    view: (answer: A) => object,
  ): Refusal | undefined {
    if (!call.ok) return call.error;
    const { queue, caller, message } = request;
    const bytes = message.data.length;
    request.partition.submit(works.leasedWork({ queue, caller, decide, view, bytes, call: call.value }));
    return undefined;
  }

  #takePlain<Q>(
    request: Request,
    query: Result<Q>,
    decide: (turn: Turn, query: Q) => Result<unknown>,
    room?: Room,
  ): Refusal | undefined {
    if (!query.ok) return query.error;
    request.partition.submit(works.plainWork(request.caller, (turn) => decide(turn, query.value), room));
    return undefined;
  }

  #resume({ partition, queue, caller }: Request, checked: Result<unknown>): Refusal | undefined {
    if (!checked.ok) return checked.error;
    partition.submit(works.resumeWork(partition, queue, caller));
    return undefined;
  }

  #get(turn: Turn, request: Request, id: string): Result<unknown> {
    const found = findItem(turn, request.queue, id);
    if (!found.ok) return found;
    return accept(itemView(turn.partition, withPayload(turn.table, found.value), request.encodings.reply));
  }

  #list(turn: Turn, request: Request, query: Parameters<typeof listItems>[3]): Result<unknown> {
    const page = listItems(turn.table, request.partition.store, request.queue, query);
    if (!page.ok) return page;
    const { reply } = request.encodings;
    const items: object[] = [];
    let bytes = 0;
    let last = 0;
    for (const item of page.value.items) {
      const view = itemView(turn.partition, withPayload(turn.table, item), reply);
      bytes += encode(view, reply).length + 1;
      // What does not fit into the reply is left to the next page.
      if (items.length > 0 && bytes > replyBytesMax - pageEnvelopeBytes)
        return accept({ items, cursor: listCursor(last) });
      items.push(view);
      last = item.order;
    }
    return accept({ items, ...(page.value.cursor === undefined ? {} : { cursor: page.value.cursor }) });
  }

  #replay(
    turn: Turn,
    request: Request,
    query: { id?: string; state?: 'failed'; limit?: number },
  ): Result<unknown> {
    if (query.id !== undefined && query.state !== undefined)
      return refuseField('state', 'cannot stand beside id');
    if (query.id !== undefined) return decideReplay(turn, request.queue, query.id);
    if (query.state === undefined) return refuseField('id', 'is missing');
    const limit = query.limit ?? replayedDefault;
    const page = listItems(turn.table, request.partition.store, request.queue, {
      state: 'failed',
      limit: Math.min(limit, 500),
    });
    if (!page.ok) return page;
    const orders = page.value.items.map((item) => item.order);
    if (orders.length > 0) turn.emit({ kind: 'replayed', orders });
    return accept({ count: orders.length });
  }

  /** Asks every partition, each within a turn of its own, and answers when all have. */
  #gather(caller: works.Caller, what: 'stats' | 'list'): void {
    const { partitions, statistics } = this.#options;
    const gathered: object[][] = [];
    let refused = false;
    for (const partition of partitions) {
      const each: works.Caller = {
        ...caller,
        value: (value) => {
          gathered.push(value as object[]);
          if (gathered.length === partitions.length && !refused) caller.value({ queues: gathered.flat() });
        },
        refuse: (refusal) => {
          if (!refused) caller.refuse(refusal);
          refused = true;
        },
      };
      partition.submit(
        works.plainWork(
          each,
          (turn) =>
            accept(
              [...turn.table.queues.keys()].map((queue) =>
                what === 'stats' ? statistics.of(turn.table, queue, turn.at) : queue,
              ),
            ),
          'nothing',
        ),
      );
    }
  }

  #partitionOf(queue: string): Partition | undefined {
    return this.#options.partitions[partitionOf(queue, this.#options.partitions.length)];
  }
}

/** An empty body stands for an empty request; a `null` that was sent does not. */
const orEmpty = (body: unknown): unknown => (body === undefined ? {} : body);

/** `enqueue` takes a payload of any content type; its reply is JSON then, unless `Accept` says otherwise. */
function encodingsOf(message: Msg, operation: string): Result<RequestEncodings> {
  const encodings = requestEncodings(message);
  if (encodings.ok || operation !== 'enqueue' || encodings.error.details?.['field'] !== 'Content-Type')
    return encodings;
  const wanted = message.headers?.get('Accept') ?? '';
  const reply = wanted === '' || wanted === '*/*' ? json : encodingOf(wanted);
  return reply === undefined
    ? refuseField('Accept', 'must be application/json or application/msgpack')
    : accept({ request: json, reply });
}

const badQueue = refuseField('queue', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -').error;

const unknownOperation = (operation: string): Refusal =>
  refuseField('operation', `is not one that a queue knows: ${operation}`).error;

const tooLarge = (bytes: number): Refusal =>
  refuse('payload_too_large', `the request has ${bytes} bytes, the most is ${requestBytesMax}`).error;
