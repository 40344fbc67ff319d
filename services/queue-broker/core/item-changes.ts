import { attemptsKeptMax, transitionsKeptMax } from '#shared/protocol/limits.ts';
import type { Failure, QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Attempt, Item, Lease, Settled, StateChange } from './item.ts';
import type { ActionName } from './item-machine.ts';
import type { Transition } from './transition-table.ts';

/** What a fact brings to the actions of a transition. */
export interface Change {
  readonly at: number;
  /** One word for the item's history. */
  readonly why: string;
  /** Of the claim; the log's sequence, so it only grows. */
  readonly token?: number | undefined;
  readonly lease?: Lease | undefined;
  readonly error?: Failure | undefined;
  /** When it becomes ready, should it wait. */
  readonly runAt?: number | undefined;
  readonly result?: Uint8Array | undefined;
  readonly progress?: Uint8Array | undefined;
  readonly settledBy?: Settled['by'] | undefined;
}

/** An item while its transition is under way: copied once, whatever the number of actions. */
type Draft = { -readonly [K in keyof Item]: Item[K] };

/**
 * The item after a transition of the machine: its actions in order, then the new state and the history. Pure.
 * @param readyOrder place given to it, should it become ready or finish
 */
export function changed(item: Item, transition: Transition, change: Change, readyOrder: number): Item {
  const next: Draft = { ...item };
  for (const action of transition.actions) actions[action](next, change, readyOrder);
  // An extended lease, a later time: no change of state, and so nothing for the history.
  if (item.state === transition.target) return next;
  next.state = transition.target;
  next.transitions = withTransition(item, transition.target, change);
  if (change.settledBy !== undefined) next.settled = settledAs(next, change.settledBy);
  return next;
}

/** Each action of the machine, by its name. */
const actions: Readonly<Record<ActionName, (item: Draft, change: Change, readyOrder: number) => void>> = {
  makeReady: (item, change, readyOrder) => {
    item.runAt = undefined;
    item.readyOrder = readyOrder;
    item.readyAt = change.at;
  },
  returnToPlace: () => undefined,
  startAttempt: (item, change) => {
    item.attempt += 1;
    item.startedAt = change.at;
    item.token = change.token ?? item.token;
    item.attempts = withAttempt(item, change);
  },
  endAttempt: (item, change) => {
    item.attempts = endedAttempts(item, change);
  },
  undoAttempt: (item) => {
    item.attempt -= 1;
    item.attempts = item.attempts.slice(0, -1);
    item.startedAt = item.attempts.at(-1)?.startedAt;
  },
  // Without its expiry: whoever replays an item that grew too old wants it to be worked on all the same.
  resetAttempts: (item) => {
    item.finishedAt = undefined;
    item.result = undefined;
    item.expiresAt = undefined;
    item.attempt = 0;
  },
  grantLease: (item, change) => {
    item.lease = change.lease ?? item.lease;
    item.progress = change.progress ?? item.progress;
  },
  clearLease: (item) => {
    item.lease = undefined;
  },
  awaitTime: (item, change) => {
    item.runAt = change.runAt ?? change.at;
  },
  finish: (item, change, readyOrder) => {
    item.readyOrder = readyOrder;
    item.finishedAt = change.at;
    item.result = change.result ?? item.result;
  },
};

// Items that one record claims or ends mostly have one history: each of them would keep a copy of its own, of which the
// garbage collector would have to carry thousands about. What was made last is given again to the next one like it.

let begun: readonly Attempt[] = [];

function withAttempt(item: Item, { at, lease }: Change): Item['attempts'] {
  const { attempt, attempts } = item;
  const worker = lease?.worker;
  if (attempts.length === 0) {
    const [like] = begun;
    if (like?.attempt !== attempt || like.startedAt !== at || like.worker !== worker)
      begun = [attemptOf(attempt, at, worker)];
    return begun;
  }
  return [...attempts.slice(1 - attemptsKeptMax), attemptOf(attempt, at, worker)];
}

const attemptOf = (attempt: number, startedAt: number, worker: string | undefined): Attempt =>
  worker === undefined ? { attempt, startedAt } : { attempt, startedAt, worker };

let ended: { readonly from: readonly Attempt[]; readonly at: number; readonly to: readonly Attempt[] } = {
  from: [],
  at: 0,
  to: [],
};

function endedAttempts({ attempts }: Item, { at, error }: Change): Item['attempts'] {
  if (error === undefined && ended.from === attempts && ended.at === at) return ended.to;
  const last = attempts.at(-1);
  if (last === undefined) return attempts;
  const now = error === undefined ? { ...last, endedAt: at } : { ...last, endedAt: at, error };
  const to = attempts.length === 1 ? [now] : [...attempts.slice(0, -1), now];
  if (error === undefined) ended = { from: attempts, at, to };
  return to;
}

let changedLast: { readonly from: readonly StateChange[]; readonly to: readonly StateChange[] } = {
  from: [],
  to: [],
};

/** The first transition and the newest ones stay; what lies between is dropped once there are too many. */
function withTransition(item: Item, to: QueueStatus, { at, why }: Change): readonly StateChange[] {
  const { transitions: known, state: from } = item;
  if (changedLast.from === known) {
    const last = changedLast.to.at(-1);
    if (last?.at === at && last.to === to && last.why === why && last.from === from) return changedLast.to;
  }
  const change: StateChange = { at, from, to, why };
  const transitions =
    known.length < transitionsKeptMax
      ? [...known, change]
      : [...known.slice(0, 1), ...known.slice(2), change];
  changedLast = { from: known, to: transitions };
  return transitions;
}

let settledLast: Settled | undefined;

function settledAs(item: Item, by: Settled['by']): Settled {
  const { token, state, attempt, runAt } = item;
  if (runAt !== undefined && waits(item)) return { token, by, state, attempt, nextAttemptAt: runAt };
  const like = settledLast;
  if (like?.token !== token || like.by !== by || like.state !== state || like.attempt !== attempt)
    settledLast = { token, by, state, attempt };
  return settledLast as Settled;
}

const waits = ({ state }: Item): boolean => state === 'retry' || state === 'scheduled';
