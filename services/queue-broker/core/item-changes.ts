import { attemptsKeptMax, transitionsKeptMax } from '#shared/protocol/limits.ts';
import type { Failure } from '#shared/protocol/queue-schemas.ts';
import type { Item, Settled, StateChange } from './item.ts';
import type { ActionName } from './item-machine.ts';
import type { Transition } from './transition-table.ts';

/** What a fact brings to the actions of a transition. */
export interface Change {
  readonly at: number;
  /** One word for the item's history. */
  readonly why: string;
  /** Place given to it, should it become ready or finish. */
  readonly readyOrder: number;
  /** Of the claim; the log's sequence, so it only grows. */
  readonly token?: number;
  readonly leaseMs?: number;
  readonly worker?: string;
  readonly claim?: string;
  readonly error?: Failure;
  readonly nextAttemptAt?: number;
  readonly result?: Uint8Array;
  readonly progress?: Uint8Array;
  readonly settledBy?: Settled['by'];
}

/** The item after a transition of the machine: its actions in order, then the new state and the history. Pure. */
export function changed(item: Item, transition: Transition, change: Change): Item {
  let next = item;
  for (const action of transition.actions) next = actions[action](next, change);
  const extended = item.state === 'processing' && transition.target === 'processing';
  if (extended) return next;
  next = {
    ...next,
    state: transition.target,
    transitions: withTransition(item, {
      at: change.at,
      from: item.state,
      to: transition.target,
      why: change.why,
    }),
  };
  return change.settledBy === undefined ? next : settle(next, change.settledBy);
}

/** Each action of the machine, by its name. */
const actions: Readonly<Record<ActionName, (item: Item, change: Change) => Item>> = {
  makeReady: (item, change) => ({
    ...without(item, 'runAt'),
    readyOrder: change.readyOrder,
    readyAt: change.at,
  }),
  returnToPlace: (item) => item,
  startAttempt: (item, change) => ({
    ...item,
    attempt: item.attempt + 1,
    startedAt: change.at,
    token: change.token ?? item.token,
    attempts: [
      ...item.attempts.slice(1 - attemptsKeptMax),
      {
        attempt: item.attempt + 1,
        startedAt: change.at,
        ...(change.worker === undefined ? {} : { worker: change.worker }),
      },
    ],
  }),
  endAttempt: (item, change) => ({ ...item, attempts: endedAttempts(item, change) }),
  undoAttempt: (item) => ({ ...item, attempt: item.attempt - 1, attempts: item.attempts.slice(0, -1) }),
  // Without its expiry: whoever replays an item that grew too old wants it to be worked on all the same.
  resetAttempts: (item) => ({
    ...without(without(without(item, 'finishedAt'), 'result'), 'expiresAt'),
    attempt: 0,
  }),
  grantLease: (item, change) => ({
    ...item,
    lease: leaseOf(item, change),
    ...(change.progress === undefined ? {} : { progress: change.progress }),
  }),
  clearLease: (item) => without(item, 'lease'),
  awaitRetry: (item, change) => ({ ...item, runAt: change.nextAttemptAt ?? change.at }),
  finish: (item, change) => ({
    ...item,
    readyOrder: change.readyOrder,
    finishedAt: change.at,
    ...(change.result === undefined ? {} : { result: change.result }),
  }),
};

function leaseOf(item: Item, change: Change): NonNullable<Item['lease']> {
  const leaseMs = change.leaseMs ?? item.lease?.leaseMs ?? 0;
  const worker = change.worker ?? item.lease?.worker;
  const claim = change.claim ?? item.lease?.claim;
  return {
    leaseMs,
    expiresAt: change.at + leaseMs,
    ...(worker === undefined ? {} : { worker }),
    ...(claim === undefined ? {} : { claim }),
  };
}

function endedAttempts(item: Item, change: Change): Item['attempts'] {
  const last = item.attempts.at(-1);
  if (last === undefined) return item.attempts;
  const ended = {
    ...last,
    endedAt: change.at,
    ...(change.error === undefined ? {} : { error: change.error }),
  };
  return [...item.attempts.slice(0, -1), ended];
}

/** The first transition and the newest ones stay; what lies between is dropped once there are too many. */
export function withTransition(item: Item, change: StateChange): readonly StateChange[] {
  const known = item.transitions;
  if (known.length < transitionsKeptMax) return [...known, change];
  return [...known.slice(0, 1), ...known.slice(2), change];
}

function settle(item: Item, by: Settled['by']): Item {
  const settled: Settled = {
    token: item.token,
    by,
    state: item.state,
    attempt: item.attempt,
    ...(item.state === 'retry' && item.runAt !== undefined ? { nextAttemptAt: item.runAt } : {}),
  };
  return { ...item, settled };
}

function without<K extends keyof Item>(item: Item, name: K): Omit<Item, K> & Item {
  if (item[name] === undefined) return item;
  const copy = { ...item };
  delete (copy as Partial<Item>)[name];
  return copy;
}
