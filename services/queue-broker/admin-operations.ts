import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { pageItemsMax } from '#shared/protocol/limits.ts';
import { priorities, queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { decidePause, decideReplay, decideReplayFailed, decideReprioritize } from './core/admin-decisions.ts';
import type { Turn } from './core/turn.ts';
import { badCursor, listCursor, placeOf } from './item-list.ts';
import { dequeueBytes } from './log-bytes.ts';
import { type QueueRequest, submitPlain } from './queue-request.ts';
import * as works from './queue-works.ts';

const checkEmpty = validator(queueRequests.pause);
const checkReplay = validator(queueRequests.replay);
const checkReprioritize = validator(queueRequests.reprioritize);

/** Items that `replay` by state takes at once, when the caller names no limit. */
const replayedDefault = 100;

/** What whoever looks after a queue asks for. */
export const adminOperations = {
  replay,
  reprioritize: (request: QueueRequest, body: unknown) =>
    submitPlain(request, checkReprioritize(body), (turn, { id, priority }) => {
      const decided = decideReprioritize(turn, request.queue, id, priorities.indexOf(priority));
      return decided.ok ? accept({ id, priority }) : decided;
    }),
  pause: (request: QueueRequest, body: unknown) =>
    submitPlain(request, checkEmpty(body), (turn) => {
      decidePause(turn, request.queue, true);
      return accept({ queue: request.queue, paused: true });
    }),
  resume,
};

function resume({ partition, queue, caller }: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkEmpty(body);
  if (!checked.ok) return checked.error;
  partition.submit(works.resumeWork(partition, queue, caller));
  return undefined;
}

function replay({ partition, queue, caller }: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkReplay(body);
  if (!checked.ok) return checked.error;
  const { id, state, limit: asked = replayedDefault, cursor } = checked.value;
  if (id !== undefined && state !== undefined) return refuseField('state', 'cannot stand beside id').error;
  if (id === undefined && state === undefined) return refuseField('id', 'is missing').error;
  if (id !== undefined && cursor !== undefined) return refuseField('cursor', 'cannot stand beside id').error;
  const limit = Math.min(asked, pageItemsMax);
  const work = works.plainWork(caller, (turn): Result<unknown> =>
    id === undefined ? replayFailed(turn, queue, { limit, cursor }) : decideReplay(turn, queue, id),
  );
  // The order of each item stands in the log.
  partition.submit({ ...work, bytes: dequeueBytes(id === undefined ? limit : 1) });
  return undefined;
}

/** One page of failed items. A cursor leads on, where there may be more. */
function replayFailed(
  turn: Turn,
  queue: string,
  { limit, cursor }: { readonly limit: number; readonly cursor: string | undefined },
): Result<{ readonly count: number; readonly cursor?: string }> {
  const after = placeOf(turn.table, queue, cursor);
  if (after === undefined) return badCursor();
  const orders = decideReplayFailed(turn, queue, { after, limit });
  const last = orders.at(-1);
  const isLast = last === undefined || orders.length < limit;
  return accept({ count: orders.length, ...(isLast ? {} : { cursor: listCursor(last) }) });
}
