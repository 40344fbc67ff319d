import { durationMs } from '#shared/protocol/durations.ts';
import { decodeExactly, json } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { Dequeued, QueuePath } from '#shared/protocol/http-schemas.ts';
import { waitMsMax } from '#shared/protocol/limits.ts';
import { Dequeue } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { requestMessage, requestReply } from '#shared/client/request.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { ownKey } from './core/principal.ts';
import { sha256Hex } from './digest.ts';
import { type Answer, type Call, type Endpoint, endpoint } from './endpoint.ts';
import { proofEnded, provedMsMax } from './proved.ts';

export interface DequeueOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
}

type DequeueCall = Pick<
  Call<QueuePath, undefined, undefined>,
  'path' | 'traceHeaders' | 'idempotencyKey' | 'principal' | 'givenUp' | 'isStillKnown'
>;

/**
 * Longest wait that is asked of the broker at once, in milliseconds. A longer one is asked for in pieces, so that a
 * caller who hung up, or a gateway that drains, leaves no request waiting that would claim items for nobody.
 */
const waitPieceMsMax = 5_000;

/** How much before its time a reply may come and still count as waited for: timers are not exact. */
const earlyMsMax = 100;

/** What a reply may take beyond the wait, in milliseconds. */
const replyMarginMs = 10_000;

const answers = {
  200: { about: 'The leased items.', schema: Dequeued },
  204: { about: 'No item came in time.' },
};

export const dequeueEndpoints = (options: DequeueOptions): readonly Endpoint[] => [
  endpoint({
    method: 'GET',
    url: '/queue/:queue_name/dequeue',
    operationId: 'queueDequeue',
    summary: 'Lease items',
    tag: 'queue',
    bearerOnly: true,
    access: {
      operation: 'queue.dequeue',
      resource: ({ path }) => ({ kind: 'queue', name: path.queue_name }),
    },
    path: QueuePath,
    query: Dequeue,
    answers,
    handle: (call) => dequeue(options, call.query, call),
  }),
  endpoint({
    method: 'POST',
    url: '/v1/queues/:queue_name/dequeue',
    operationId: 'dequeueItems',
    summary: 'Lease items',
    tag: 'queue',
    bearerOnly: true,
    access: {
      operation: 'queue.dequeue',
      resource: ({ path }) => ({ kind: 'queue', name: path.queue_name }),
    },
    path: QueuePath,
    body: Dequeue,
    bodyOptional: true,
    idempotency: 'used',
    answers,
    handle: (call) => dequeue(options, call.body, call),
  }),
];

async function dequeue(
  options: DequeueOptions,
  request: Dequeue,
  call: DequeueCall,
): Promise<Result<Answer>> {
  const waitMs = durationMs(request.wait ?? 0) ?? 0;
  if (waitMs > waitMsMax) return refuseField('wait', `must be at most ${waitMsMax / 1_000}s`);
  const { clock, nats, subjects } = options;
  const beganMs = clock.monotonicMs();
  const deadlineMs = beganMs + waitMs;
  const claim = ownKey(call.principal, call.idempotencyKey, sha256Hex);
  for (;;) {
    const askedMs = clock.monotonicMs();
    const pieceMs = Math.max(0, Math.min(Math.ceil(deadlineMs - askedMs), waitPieceMsMax));
    const reply = await requestMessage(
      nats,
      subjects.queue(call.path.queue_name, 'dequeue'),
      { ...request, wait: pieceMs },
      {
        headers: { ...call.traceHeaders, 'Nats-Msg-Id': claim },
        timeoutMs: pieceMs + replyMarginMs,
      },
    );
    if (!reply.ok) return reply;
    // Payloads are only passed on: every digit of them stays.
    const read = decodeExactly(reply.value.data, json);
    const items = read.ok ? itemsOf(read.value) : undefined;
    if (items === undefined) return refuse('internal', 'the reply to dequeue holds no items');
    const answer = items.length === 0 ? undefined : leased(options, call, items);
    if (clock.monotonicMs() - beganMs >= provedMsMax && !(await call.isStillKnown())) {
      answer?.undelivered?.();
      return { ok: false, error: proofEnded };
    }
    if (answer !== undefined) return accept(answer);
    // An answer long before its time says that waiting is of no use, as for a queue that is paused or unknown.
    const waited = clock.monotonicMs() - askedMs >= pieceMs - earlyMsMax;
    if (!waited || call.givenUp() || clock.monotonicMs() >= deadlineMs) return accept({ status: 204 });
  }
}

interface Lease {
  readonly id: string;
  readonly token: number;
}

const itemsOf = (reply: unknown): readonly Lease[] | undefined =>
  (reply as { readonly items?: readonly Lease[] } | undefined)?.items;

/** Items that do not reach the caller go back uncharged; without that they would wait for their lease to run out. */
const leased = (options: DequeueOptions, call: DequeueCall, items: readonly Lease[]): Answer => ({
  status: 200,
  body: { items },
  undelivered: () => {
    const handedBack = { items: items.map(({ id, token }) => ({ id, token })) };
    const subject = options.subjects.queue(call.path.queue_name, 'release');
    // A refusal needs no answer: the lease ends by itself.
    void requestReply(options.nats, subject, handedBack, { headers: call.traceHeaders });
  },
});
