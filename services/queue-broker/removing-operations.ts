import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { cancelledItemsMax, purgedItemsMax } from '#shared/protocol/limits.ts';
import type { Cancel, Purge } from '#shared/protocol/queue-more-schemas.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { decideCancel, decideCancelState } from './core/admin-decisions.ts';
import { decideCancelFamily } from './core/flow-decisions.ts';
import { decidePurge, decidePurgeAll, decidePurgeState } from './core/purge-decisions.ts';
import type { Turn } from './core/turn.ts';
import { cancelBytes, dequeueBytes } from './log-bytes.ts';
import type { OperationContext, QueueRequest } from './queue-request.ts';
import * as works from './queue-works.ts';

const checkCancel = validator(queueRequests.cancel);
const checkPurge = validator(queueRequests.purge);

/** What ends items, or removes them. */
export const removingOperations = { cancel, purge };

function cancel(request: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkCancel(body);
  if (!checked.ok) return checked.error;
  const query = checked.value;
  const fault = faultOf(query, ['id', 'state']);
  if (fault !== undefined) return fault;
  const { id, state, children, limit = cancelledItemsMax } = query;
  if (state !== undefined && children !== undefined)
    return refuseField('children', 'cannot stand beside state').error;
  return submit(request, cancelBytes(id === undefined ? limit : 1), (turn) => {
    if (id !== undefined && children === true) return decideCancelFamily(turn, request.queue, id);
    if (id !== undefined) return decideCancel(turn, request.queue, id);
    return accept({
      count: state === undefined ? 0 : decideCancelState(turn, request.queue, state, limit),
    });
  });
}

function purge(request: QueueRequest, body: unknown, { statistics }: OperationContext): Refusal | undefined {
  const checked = checkPurge(body);
  if (!checked.ok) return checked.error;
  const fault = faultOf(checked.value, ['id', 'state', 'all']);
  if (fault !== undefined) return fault;
  const { id, state, limit = purgedItemsMax } = checked.value;
  const { queue, caller } = request;
  const decide = (turn: Turn): Result<{ readonly more: boolean }> => {
    if (id !== undefined) return decidePurge(turn, queue, id);
    return accept(
      state === undefined ? decidePurgeAll(turn, queue, limit) : decidePurgeState(turn, queue, state, limit),
    );
  };
  const value = (answer: unknown): void => {
    // Rates and durations are kept beside the table; they go once it is certain that the queue is gone.
    if (checked.value.all === true && !(answer as { more: boolean }).more) statistics.forget(queue);
    caller.value(answer);
  };
  const bytes = dequeueBytes(id === undefined ? limit : 1);
  return submit({ ...request, caller: { ...caller, value } }, bytes, decide);
}

function submit(
  { partition, caller }: QueueRequest,
  bytes: number,
  decide: (turn: Turn) => Result<unknown>,
): undefined {
  partition.submit({ ...works.plainWork(caller, decide), bytes });
}

/** One of `ways` says what is meant, and no more than one; `limit` is for many. */
function faultOf(query: Cancel | Purge, ways: readonly ('id' | 'state' | 'all')[]): Refusal | undefined {
  const given = ways.filter((way) => way in query && query[way as keyof typeof query] !== undefined);
  const [first, second] = given;
  if (first === undefined) return refuseField('id', 'is missing').error;
  if (second !== undefined) return refuseField(second, `cannot stand beside ${first}`).error;
  if (first === 'id' && query.limit !== undefined)
    return refuseField('limit', 'cannot stand beside id').error;
  return undefined;
}
