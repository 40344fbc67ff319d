import { type Refusal, type Result } from '#shared/protocol/errors.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type FlowRequest, decideFlow } from './core/flow-decisions.ts';
import type { Item } from './core/item.ts';
import { findItem } from './core/lease-decisions.ts';
import type { Turn } from './core/turn.ts';
import { type FlowCourier, placeBytes } from './flow-courier.ts';
import { readFlow } from './flow-requests.ts';
import { type KnownChild, childStates, childViews, childrenOf } from './flow-views.ts';
import { enqueueBytes, itemBytes } from './log-bytes.ts';
import type { OperationContext, QueueRequest } from './queue-request.ts';
import type { Caller } from './queue-works.ts';
import type { Work } from './work.ts';

const checkChildren = validator(queueRequests.children);

/** What there is besides `get` and `cancel` for flows. */
export const flowOperations = {
  'enqueue-flow': (request: QueueRequest, body: unknown): Refusal | undefined => {
    const { queue, owners, partition, encodings } = request;
    const { payloadBytesMax } = partition.table.settingsOf(queue);
    const read = readFlow(queue, body, { owners, encoding: encodings.request, payloadBytesMax });
    if (!read.ok) return read.error;
    partition.submit(flowWork(read.value, request.caller));
    return undefined;
  },
  children: (request: QueueRequest, body: unknown, { courier }: OperationContext): Refusal | undefined => {
    const checked = checkChildren(body);
    if (!checked.ok) return checked.error;
    submitWithChildren(request, courier, {
      find: (turn) => findItem(turn, request.queue, checked.value.id),
      view: () => ({}),
      join: (children, states) => ({ items: childViews(children, states, request.encodings.reply) }),
    });
    return undefined;
  },
};

function flowWork(request: FlowRequest, caller: Caller): Work {
  const { root, members } = request;
  return {
    bytes: members.reduce(
      (sum, member) => sum + enqueueBytes(member) + placeBytes,
      enqueueBytes(root) + itemBytes,
    ),
    room: 'new-items',
    decide: (turn) => {
      const decided = decideFlow(turn, request);
      return () => (decided.ok ? caller.value(decided.value) : caller.refuse(decided.error));
    },
    refuse: caller.refuse,
  };
}

/** How an item is shown with its children. */
interface WithChildren {
  readonly find: (turn: Turn) => Result<Item>;
  /** What is said of the item itself, within the turn. */
  readonly view: (turn: Turn, item: Item) => object;
  /** What is said of its children, once their states are known. */
  readonly join: (children: readonly KnownChild[], states: readonly string[]) => object;
}

/** Answers with an item and its children; one that has none is answered within the turn. */
export function submitWithChildren(request: QueueRequest, courier: FlowCourier, show: WithChildren): void {
  const { caller, partition } = request;
  partition.submit({
    bytes: itemBytes,
    room: 'nothing',
    decide: (turn) => {
      const found = show.find(turn);
      if (!found.ok) return () => caller.refuse(found.error);
      const view = show.view(turn, found.value);
      if (found.value.family === undefined) return () => caller.value({ ...view, ...show.join([], []) });
      const children = childrenOf(turn, found.value);
      return () =>
        void answer(caller, courier, children, (states) => ({ ...view, ...show.join(children, states) }));
    },
    refuse: caller.refuse,
  });
}

async function answer(
  caller: Caller,
  courier: FlowCourier,
  children: readonly KnownChild[],
  view: (states: readonly string[]) => object,
): Promise<void> {
  const states = await childStates(courier, children);
  if (states.ok) caller.value(view(states.value));
  else caller.refuse(states.error);
}
