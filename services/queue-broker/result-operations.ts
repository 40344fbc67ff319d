import { durationMs } from '#shared/protocol/durations.ts';
import { type Refusal, refuse, refuseField } from '#shared/protocol/errors.ts';
import { waitMsMax } from '#shared/protocol/limits.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type Item, isFinal, itemId } from './core/item.ts';
import { findItem } from './core/lease-decisions.ts';
import { itemView, withPayload } from './item-views.ts';
import type { QueueRequest } from './queue-request.ts';
import type { ResultWaiter } from './result-line.ts';
import type { Work } from './work.ts';

const checkResult = validator(queueRequests.result);

/** Bytes of an answer besides payload and result, generously. */
const envelopeBytes = 4_096;

/** Waiting for the end of an item. */
export const resultOperations = { result };

function result(request: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkResult(body);
  if (!checked.ok) return checked.error;
  const { id, wait } = checked.value;
  const waitMs = wait === undefined ? 0 : durationMs(wait);
  if (waitMs === undefined || waitMs > waitMsMax) return refuseField('wait', 'must be at most 60s').error;
  request.partition.submit(resultWork(request, id, waitMs));
  return undefined;
}

/** Answers at once when the item is final or the caller does not wait; otherwise the caller joins the line. */
function resultWork(request: QueueRequest, id: string, waitMs: number): Work {
  const { partition, queue, caller, encodings } = request;
  let waits = false;
  return {
    bytes: 0,
    room: 'nothing',
    decide: (turn) => {
      const found = findItem(turn, queue, id);
      if (!found.ok) return () => caller.refuse(found.error);
      const item = found.value;
      if (isFinal(item.state) || waitMs === 0) {
        const shown = withPayload(turn.table, item);
        return () => caller.value(itemView(turn.partition, shown, encodings.reply));
      }
      waits = partition.results.join(waiterOf(request, turn.partition, item), waitMs);
      return waits ? () => undefined : () => caller.refuse(tooManyWait);
    },
    // Who waits is answered by the line.
    refuse: (refusal) => {
      if (!waits) caller.refuse(refusal);
    },
  };
}

function waiterOf(request: QueueRequest, number: number, item: Item): ResultWaiter {
  const { partition, caller, encodings } = request;
  const id = itemId(number, item.order);
  return {
    order: item.order,
    bytes: envelopeBytes + item.payloadBytes,
    answer: ({ final }) => {
      if (final === undefined) caller.refuse(refuse('not_found', `item ${id} was removed`, { id }).error);
      else caller.value(itemView(number, final, encodings.reply));
    },
    // Asked anew: whether it has ended meanwhile is for a turn to say.
    expire: () => partition.submit(resultWork(request, id, 0)),
    refuse: caller.refuse,
  };
}

const tooManyWait: Refusal = {
  code: 'unavailable',
  message: 'too many wait for results already, ask again without wait or later',
};
