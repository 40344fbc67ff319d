import type { Refusal, Result } from '#shared/protocol/errors.ts';
import { decideComplete, decideExtend, decideFail, decideRelease } from './core/lease-decisions.ts';
import type { Turn } from './core/turn.ts';
import type { NotedRequest } from './log-bytes.ts';
import type { QueueRequest } from './queue-request.ts';
import { type LeasedCall, leasedReaders } from './queue-requests.ts';
import * as works from './queue-works.ts';

/** What the holder of a lease asks for. */
export const leasedOperations = {
  complete: (request: QueueRequest, body: unknown) =>
    submit(request, leasedReaders.complete(body), decideComplete, works.completedView),
  fail: (request: QueueRequest, body: unknown) =>
    submit(request, leasedReaders.fail(body), decideFail, works.failedView),
  extend: (request: QueueRequest, body: unknown) =>
    submit(request, leasedReaders.extend(body), decideExtend, works.extendedView),
  release: (request: QueueRequest, body: unknown) =>
    submit(request, leasedReaders.release(body), decideRelease, works.completedView),
};

function submit<R extends NotedRequest, A>(
  request: QueueRequest,
  call: Result<LeasedCall<R>>,
  decide: (turn: Turn, queue: string, request: R) => Result<A>,
  view: works.View<A>,
): Refusal | undefined {
  if (!call.ok) return call.error;
  const { queue, caller, message } = request;
  const bytes = message.data.length;
  request.partition.submit(works.leasedWork({ queue, caller, decide, view, bytes, call: call.value }));
  return undefined;
}
