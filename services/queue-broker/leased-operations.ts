import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import { decideComplete, decideExtend, decideFail, decideRelease } from './core/lease-decisions.ts';
import type { Turn } from './core/turn.ts';
import type { NotedRequest } from './log-bytes.ts';
import type { QueueRequest } from './queue-request.ts';
import { type LeasedCall, leasedReaders, readPlainLeased } from './leased-requests.ts';
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

/**
 * Takes in a batch that says nothing but which items are done, or handed back.
 * @returns false where the body has more to say, or something is wrong with it: the schemas are to read it
 */
export function submitPlainBatch(request: QueueRequest, operation: 'complete' | 'release'): boolean {
  const call = readPlainLeased(operation, request.message.data);
  if (call === undefined) return false;
  const decide = operation === 'complete' ? decideComplete : decideRelease;
  submit(request, accept(call), decide, works.completedView);
  return true;
}

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
