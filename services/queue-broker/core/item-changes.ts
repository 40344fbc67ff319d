import { attemptsKeptMax, transitionsKeptMax } from '#shared/protocol/limits.ts';
import type { Failure } from '#shared/protocol/queue-schemas.ts';
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
  next.transitions = withTransition(item, {
    at: change.at,
    from: item.state,
    to: transition.target,
    why: change.why,
  });
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

function withAttempt(item: Item, change: Change): Item['attempts'] {
  const { worker } = change.lease ?? {};
  const attempt: Attempt = {
    attempt: item.attempt,
    startedAt: change.at,
    ...(worker === undefined ? {} : { worker }),
  };
  if (item.attempts.length === 0) return [attempt];
  return [...item.attempts.slice(1 - attemptsKeptMax), attempt];
}

function endedAttempts(item: Item, change: Change): Item['attempts'] {
  const last = item.attempts.at(-1);
  if (last === undefined) return item.attempts;
  const error = change.error === undefined ? {} : { error: change.error };
  const ended = { ...last, endedAt: change.at, ...error };
  return item.attempts.length === 1 ? [ended] : [...item.attempts.slice(0, -1), ended];
}

/** The first transition and the newest ones stay; what lies between is dropped once there are too many. */
function withTransition(item: Item, change: StateChange): readonly StateChange[] {
  const known = item.transitions;
  if (known.length < transitionsKeptMax) return [...known, change];
  return [...known.slice(0, 1), ...known.slice(2), change];
}

const settledAs = (item: Item, by: Settled['by']): Settled => ({
  token: item.token,
  by,
  state: item.state,
  attempt: item.attempt,
  ...(item.runAt !== undefined && waits(item) ? { nextAttemptAt: item.runAt } : {}),
});

const waits = ({ state }: Item): boolean => state === 'retry' || state === 'scheduled';
