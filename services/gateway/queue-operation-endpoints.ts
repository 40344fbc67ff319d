import { type TSchema, Type } from 'typebox';
import { durationMs } from '#shared/protocol/durations.ts';
import type { ErrorCode, Result } from '#shared/protocol/errors.ts';
import { QueuePath } from '#shared/protocol/http-schemas.ts';
import { requestBytesMax } from '#shared/protocol/limits.ts';
import { ownerHeader } from '#shared/protocol/owner.ts';
import { queueReplies } from '#shared/protocol/queue-reply-schemas.ts';
import {
  BatchEnvelope,
  type QueueItem,
  type QueueOperation,
  batchItems,
  queueRequests,
} from '#shared/protocol/queue-schemas.ts';
import { ask, valueOf } from './ask.ts';
import { asksForChildren } from './core/authorization.ts';
import { ownerFrom } from './core/principal.ts';
import type { DequeueOptions } from './dequeue-endpoints.ts';
import { Duplicates } from './duplicates.ts';
import { type Answer, type Endpoint, endpoint } from './endpoint.ts';
import { itemOwners } from './item-owners.ts';
import { proofEnded, provedMsMax } from './proved.ts';
import { hasDefaultsOnly } from './schema-parts.ts';

// `POST /v1/queues/{queue_name}/{operation}`: every operation that the protocol has, with the body that it has over
// NATS. An operation that is added to the protocol's table is here at once.

/** Those whose HTTP form has more to do than to pass the body on. */
type OwnForm = 'enqueue' | 'dequeue';
type Passed = Exclude<QueueOperation, OwnForm>;

const passed = (Object.keys(queueRequests) as (keyof typeof queueRequests)[]).filter(
  (operation): operation is Passed => operation !== 'dequeue',
);

const summaries: Readonly<Partial<Record<Passed, string>>> = {
  'enqueue-many': 'Enqueue many items; a bad one does not drop its neighbours',
  'enqueue-flow': 'Enqueue a tree of items: a parent runs after its children',
  complete: 'Complete one leased item or many, and fetch the next ones',
  fail: 'Report failed attempts, one or many, and fetch the next items',
  extend: 'Extend one lease or many, with progress',
  release: 'Hand items back uncharged',
  result: 'Wait until an item is final',
  purge: 'Remove items for good',
  configure: "Change the queue's settings and schedules",
};

/** What a second time does again. (Items of a batch and flows have keys in the body; one for a whole batch nobody keeps.) */
const repeated: ReadonlySet<Passed> = new Set<Passed>(['log', 'enqueue-many', 'enqueue-flow']);

/** What they bring belongs to whoever asks. */
const enqueues: ReadonlySet<string> = new Set(['enqueue-many', 'enqueue-flow']);

const batches: ReadonlySet<string> = new Set([...Object.keys(batchItems), 'enqueue-flow']);

const refusals: readonly ErrorCode[] = ['not_found', 'lease_lost', 'wrong_state', 'conflict', 'queue_full'];

export const queueOperationEndpoints = (options: DequeueOptions): readonly Endpoint[] => {
  const duplicates = new Duplicates(itemOwners(options.nats, options.subjects));
  return passed.map((operation) => {
    const schema: TSchema = queueRequests[operation];
    return endpoint({
      method: 'POST',
      url: `/v1/queues/:queue_name/${operation}`,
      operationId: `queue${camelCase(operation)}Operation`,
      summary: summaries[operation] ?? `The operation ${operation} of a queue`,
      tag: 'queue',
      access: {
        operation: `queue.${operation}`,
        resource: ({ path, body }) => ({
          kind: 'queue',
          name: path.queue_name,
          itemId: idIn(body),
          withChildren: operation === 'cancel' && asksForChildren(body),
        }),
      },
      bearerOnlyFor: fetches,
      path: QueuePath,
      body: bodyOf(operation, schema),
      bodyOptional: hasDefaultsOnly(schema),
      ...(batches.has(operation) ? { bodyBytesMax: requestBytesMax } : {}),
      idempotency: repeated.has(operation) ? 'refused' : 'needless',
      answers: { 200: { about: 'What the operation answers.', schema: queueReplies[operation] } },
      refusals,
      handle: async ({ path, body, bytes, traceHeaders, givenUp, isStillKnown, principal }) => {
        const owner = enqueues.has(operation) ? ownerFrom(principal) : undefined;
        const { subjects } = options;
        const request =
          owner === undefined
            ? { subject: subjects.queue(path.queue_name, operation), headers: traceHeaders }
            : {
                subject: subjects.queueOwned(path.queue_name, operation),
                headers: { ...traceHeaders, [ownerHeader]: owner },
              };
        if (operation === 'result')
          return awaitResult(options, body as AwaitBody, { ...request, givenUp, isStillKnown });
        const asked = await ask(options.nats, request.subject, bytes.length === 0 ? {} : bytes, request);
        if (!asked.ok || !enqueues.has(operation)) return asked;
        const enqueueing = { principal, operation: `queue.${operation}`, queue: path.queue_name } as const;
        return duplicates.withoutOthers(enqueueing, asked.value);
      },
    });
  });
};

/** Operations on leased items take one or many; the others what their schema says. */
const bodyOf = (operation: Passed, schema: TSchema): TSchema =>
  Object.hasOwn(batchItems, operation) && operation !== 'enqueue-many'
    ? Type.Union([schema, BatchEnvelope], {
        'x-expected': `that of ${operation}, or of its batch form {items: […]}`,
      })
    : schema;

/** The one item that a request is about; with `fetch` it is about others, too, whoever has enqueued them. */
function idIn(body: unknown): string | undefined {
  if (fetches(body)) return undefined;
  const { id } = (body ?? {}) as { readonly id?: unknown };
  return typeof id === 'string' ? id : undefined;
}

/** Whether it leases items, as a dequeue does. */
const fetches = (body: unknown): boolean =>
  ((body ?? {}) as { readonly fetch?: unknown }).fetch !== undefined;

export const camelCase = (words: string): string =>
  words
    .split('-')
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('');

export interface AwaitBody {
  readonly id: string;
  readonly wait?: string | number;
}

interface Waiting {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly givenUp: () => boolean;
  readonly isStillKnown: () => Promise<boolean>;
}

/** As for a dequeue: pieces, so that nobody waits for a caller who is gone or through a drain. */
const waitPieceMsMax = 5_000;
const replyMarginMs = 10_000;
const finalStates: ReadonlySet<string> = new Set(['done', 'failed', 'cancelled']);

/** Waits for an item's end. What cannot be a wait is passed on as it is, for the broker to refuse. */
export async function awaitResult(
  { nats, clock }: DequeueOptions,
  { id, wait = 0 }: AwaitBody,
  { subject, headers, givenUp, isStillKnown }: Waiting,
): Promise<Result<Answer>> {
  const waitMs = durationMs(wait) ?? 0;
  const beganMs = clock.monotonicMs();
  const deadlineMs = beganMs + waitMs;
  for (;;) {
    const leftMs = Math.max(0, Math.ceil(deadlineMs - clock.monotonicMs()));
    // The first piece says the whole wait when it is too long, so that it is refused in the broker's words.
    const pieceMs = waitMs > 60_000 ? waitMs : Math.min(leftMs, waitPieceMsMax);
    const asked = await ask(
      nats,
      subject,
      { id, wait: pieceMs },
      { headers, timeoutMs: Math.min(pieceMs, waitPieceMsMax) + replyMarginMs },
    );
    if (!asked.ok) return asked;
    if (clock.monotonicMs() - beganMs >= provedMsMax && !(await isStillKnown()))
      return { ok: false, error: proofEnded };
    const { state } = valueOf(asked.value) as Pick<QueueItem, 'state'>;
    if (finalStates.has(state) || givenUp() || clock.monotonicMs() >= deadlineMs) return asked;
  }
}
