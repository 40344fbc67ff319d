import { decode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { singleHeader } from '#shared/protocol/headers.ts';
import { requestBytesMax } from '#shared/protocol/limits.ts';
import { isName } from '#shared/protocol/names.ts';
import { type Owners, ownerHeader } from '#shared/protocol/owner.ts';
import { partitionOf } from '#shared/protocol/partition.ts';
import {
  type QueueOperation,
  QueuePage,
  QueueStatsPage,
  isQueueOperation,
} from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import { type RequestEncodings, replyEncoding, requestEncodings } from '#shared/runtime/replies.ts';
import type { Callers, UnclaimedLease } from './callers.ts';
import { itemId } from './core/item.ts';
import { decideRelease } from './core/lease-decisions.ts';
import type { Observer } from './observation.ts';
import { submitPlainBatch } from './leased-operations.ts';
import { answerOverall } from './overall-questions.ts';
import type { Partition } from './partition.ts';
import { queueOperations } from './queue-operations.ts';
import { decodeWithPayloads, withExactValues } from './kept-value.ts';
import type { OperationContext, QueueRequest } from './queue-request.ts';
import { readDequeue, readEnqueue, readEnqueueMany, readPlainEnqueueMany } from './queue-requests.ts';
import * as works from './queue-works.ts';

const checkPage = { list: validator(QueuePage), stats: validator(QueueStatsPage) } as const;

export interface QueueServiceOptions extends OperationContext {
  readonly subjects: Subjects;
  readonly partitions: readonly Partition[];
  readonly callers: Callers;
  readonly clock: Clock;
  readonly observer: Observer;
}

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
    const owners = ownersOf(message);
    if (owners !== 'none' && !ownedOperations.has(operation))
      return caller.refuse(unknownOperation(operation));
    if (message.data.length > requestBytesMax) return caller.refuse(tooLarge(message.data.length));
    try {
      const fault = this.#take(operation, {
        message,
        queue,
        owners,
        encodings: encodings.value,
        caller,
        partition,
      });
      if (fault !== undefined) caller.refuse(fault);
    } catch (error) {
      // A defect of ours. Whoever asked hears of it at once, and the log has the rest.
      caller.refuse({ code: 'internal', message: 'the request could not be read' });
      throw error;
    }
  }

  /** Takes a message of `trivet.queue.stats` or `trivet.queue.list`: every queue of every partition. */
  receiveOverall(message: Msg, what: 'stats' | 'list'): void {
    const encodings = requestEncodings(message);
    const encoding = encodings.ok ? encodings.value.reply : json;
    const caller = this.#options.callers.of(message, encoding, () => undefined);
    if (!encodings.ok) return caller.refuse(encodings.error);
    const body = decode(message.data, encodings.value.request);
    const checked = body.ok ? checkPage[what](orEmpty(body.value)) : body;
    if (!checked.ok) return caller.refuse(checked.error);
    void answerOverall(what, checked.value, caller, { ...this.#options, encoding });
  }

  /** Hands back what nobody was there to take. */
  release(lease: UnclaimedLease): void {
    const partition = this.#partitionOf(lease.queue);
    if (partition === undefined) return;
    partition.submit({
      bytes: 0,
      room: 'always',
      decide: (turn) => {
        for (const [index, order] of lease.orders.entries()) {
          const item = { id: itemId(lease.partition, order), token: lease.tokens[index] ?? 0 };
          decideRelease(turn, lease.queue, item);
        }
        return () => undefined;
      },
      refuse: () => undefined,
    });
  }

  /** Takes the request in, or says why not. */
  #take(operation: QueueOperation, request: QueueRequest): Refusal | undefined {
    const { message, queue, owners, caller, partition, encodings } = request;
    if (operation === 'enqueue') {
      const read = readEnqueue(queue, message.data, message.headers, true);
      if (!read.ok) return read.error;
      partition.submit(works.enqueueWork(read.value, caller));
      return undefined;
    }
    if (operation === 'enqueue-many' && encodings.request === json) {
      const plain = readPlainEnqueueMany(queue, message.data, owners);
      if (plain !== undefined) {
        partition.submit(works.enqueueManyWork(plain, caller));
        return undefined;
      }
    }
    if ((operation === 'complete' || operation === 'release') && encodings.request === json) {
      if (submitPlainBatch(request, operation)) return undefined;
    }
    const read = keepsValues.has(operation) ? decodeWithPayloads : decode;
    const body = read(message.data, encodings.request);
    if (!body.ok) return body.error;
    if (operation === 'enqueue-many') {
      const read = readEnqueueMany(queue, orEmpty(body.value), encodings.request, owners);
      if (!read.ok) return read.error;
      partition.submit(works.enqueueManyWork(read.value, caller));
      return undefined;
    }
    if (operation === 'dequeue') {
      const claim = singleHeader(message.headers, 'Nats-Msg-Id');
      const read = claim.ok ? readDequeue(queue, orEmpty(body.value), claim.value) : claim;
      if (!read.ok) return read.error;
      this.#options.workers.seen(queue, read.value.worker ?? '', this.#options.clock.nowMs());
      partition.submit(works.dequeueWork(partition, read.value, caller));
      return undefined;
    }
    const exact =
      encodings.request === json ? withExactValues(operation, message.data, body.value) : body.value;
    return queueOperations[operation](request, orEmpty(exact), this.#options);
  }

  #partitionOf(queue: string): Partition | undefined {
    return this.#options.partitions[partitionOf(queue, this.#options.partitions.length)];
  }
}

/** Operations whose requests hold payloads, of which every digit is kept. */
const keepsValues: ReadonlySet<string> = new Set(['enqueue-many', 'enqueue-flow', 'update', 'configure']);

/** An empty body stands for an empty request; a `null` that was sent does not. */
const orEmpty = (body: unknown): unknown => (body === undefined ? {} : body);

/** `enqueue` takes a payload of any content type; its reply is JSON then, unless `Accept` says otherwise. */
function encodingsOf(message: Msg, operation: string): Result<RequestEncodings> {
  if (operation !== 'enqueue') return requestEncodings(message);
  const contentType = singleHeader(message.headers, 'Content-Type');
  if (!contentType.ok) return contentType;
  const reply = replyEncoding(message, encodingOf(contentType.value) ?? json);
  return reply.ok ? accept({ request: json, reply: reply.value }) : reply;
}

const badQueue = refuseField('queue', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -').error;

/** What a service may ask for whom it names. */
const ownedOperations: ReadonlySet<string> = new Set(['enqueue-many', 'enqueue-flow']);

/** `trivet.queue-owned.<queue>.<operation>` is closed to all but the services, who say whose the items are. */
function ownersOf({ subject, headers }: Msg): Owners {
  if (!subject.includes('.queue-owned.')) return 'none';
  const all = headers?.get(ownerHeader) ?? '';
  return all === '' ? 'each' : { all };
}

const unknownOperation = (operation: string): Refusal =>
  refuseField('operation', `is not one that a queue knows: ${operation}`).error;

const tooLarge = (bytes: number): Refusal =>
  refuse('payload_too_large', `the request has ${bytes} bytes, the most is ${requestBytesMax}`, {
    field: 'body',
  }).error;
