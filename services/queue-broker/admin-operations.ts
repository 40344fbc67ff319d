import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { pageItemsMax } from '#shared/protocol/limits.ts';
import { type Replay, priorities, queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { decidePause, decideReplay, decideReplayFailed, decideReprioritize } from './core/admin-decisions.ts';
import type { Turn } from './core/turn.ts';
import { type QueueRequest, submitPlain } from './queue-request.ts';
import * as works from './queue-works.ts';

const checkEmpty = validator(queueRequests.pause);
const checkReplay = validator(queueRequests.replay);
const checkReprioritize = validator(queueRequests.reprioritize);

/** Items that `replay` by state takes at once, when the caller names no limit. */
const replayedDefault = 100;

/** What whoever looks after a queue asks for. */
export const adminOperations = {
  replay: (request: QueueRequest, body: unknown) =>
    submitPlain(request, checkReplay(body), (turn, query) => replay(turn, request, query)),
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

function replay(turn: Turn, request: QueueRequest, query: Replay): Result<unknown> {
  if (query.id !== undefined && query.state !== undefined)
    return refuseField('state', 'cannot stand beside id');
  if (query.id !== undefined) return decideReplay(turn, request.queue, query.id);
  if (query.state === undefined) return refuseField('id', 'is missing');
  const limit = Math.min(query.limit ?? replayedDefault, pageItemsMax);
  return accept({ count: decideReplayFailed(turn, request.queue, limit) });
}
