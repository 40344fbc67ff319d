import { setup } from 'xstate';

/**
 * The life of a queue item: the only definition of it. Flat, with named guards and actions; `transition-table.ts`
 * compiles it into the table that the broker reads, and start-up fails when the two disagree.
 *
 * `new` is where every item begins and no item stays: it is never stored and never seen from outside.
 */
export const itemMachine = setup({
  types: { events: {} as { type: ItemEvent } },
  guards: {
    /** Its options could not be understood: it is kept as failed, and says why. */
    isRefused: () => false,
    /** It belongs to a flow, or has children to wait for. */
    isBlocked: () => false,
    /** It is to run later. */
    waitsForTime: () => false,
    /** Attempts are left and the failure did not forbid another one. */
    mayRetry: () => false,
  },
  actions: {
    makeReady: () => undefined,
    returnToPlace: () => undefined,
    startAttempt: () => undefined,
    endAttempt: () => undefined,
    undoAttempt: () => undefined,
    resetAttempts: () => undefined,
    grantLease: () => undefined,
    clearLease: () => undefined,
    awaitTime: () => undefined,
    finish: () => undefined,
  },
}).createMachine({
  id: 'item',
  initial: 'new',
  states: {
    new: {
      on: {
        ENQUEUE: [
          { guard: 'isRefused', target: 'failed', actions: ['finish'] },
          { guard: 'isBlocked', target: 'blocked' },
          { guard: 'waitsForTime', target: 'scheduled' },
          { target: 'pending', actions: ['makeReady'] },
        ],
      },
    },
    scheduled: {
      on: {
        DUE: { target: 'pending', actions: ['makeReady'] },
        RESCHEDULE: [
          { guard: 'waitsForTime', target: 'scheduled', actions: ['awaitTime'] },
          { target: 'pending', actions: ['makeReady'] },
        ],
        EXPIRE: { target: 'failed', actions: ['finish'] },
        CANCEL: { target: 'cancelled', actions: ['finish'] },
      },
    },
    blocked: {
      on: {
        UNBLOCK: [
          { guard: 'waitsForTime', target: 'scheduled', actions: ['awaitTime'] },
          { target: 'pending', actions: ['makeReady'] },
        ],
        CHILD_FAIL: { target: 'failed', actions: ['finish'] },
        EXPIRE: { target: 'failed', actions: ['finish'] },
        CANCEL: { target: 'cancelled', actions: ['finish'] },
      },
    },
    pending: {
      on: {
        CLAIM: { target: 'processing', actions: ['startAttempt', 'grantLease'] },
        RESCHEDULE: [
          { guard: 'waitsForTime', target: 'scheduled', actions: ['awaitTime'] },
          { target: 'pending', actions: ['makeReady'] },
        ],
        EXPIRE: { target: 'failed', actions: ['finish'] },
        CANCEL: { target: 'cancelled', actions: ['finish'] },
      },
    },
    processing: {
      on: {
        COMPLETE: { target: 'done', actions: ['endAttempt', 'clearLease', 'finish'] },
        FAIL: [
          { guard: 'mayRetry', target: 'retry', actions: ['endAttempt', 'clearLease', 'awaitTime'] },
          { target: 'failed', actions: ['endAttempt', 'clearLease', 'finish'] },
        ],
        LEASE_EXPIRE: [
          { guard: 'mayRetry', target: 'pending', actions: ['endAttempt', 'clearLease', 'makeReady'] },
          { target: 'failed', actions: ['endAttempt', 'clearLease', 'finish'] },
        ],
        RELEASE: [
          { guard: 'waitsForTime', target: 'scheduled', actions: ['undoAttempt', 'clearLease', 'awaitTime'] },
          { target: 'pending', actions: ['undoAttempt', 'clearLease', 'returnToPlace'] },
        ],
        EXTEND: { target: 'processing', actions: ['grantLease'] },
        CANCEL: { target: 'cancelled', actions: ['endAttempt', 'clearLease', 'finish'] },
      },
    },
    retry: {
      on: {
        DUE: { target: 'pending', actions: ['makeReady'] },
        RESCHEDULE: [
          { guard: 'waitsForTime', target: 'scheduled', actions: ['awaitTime'] },
          { target: 'pending', actions: ['makeReady'] },
        ],
        EXPIRE: { target: 'failed', actions: ['finish'] },
        CANCEL: { target: 'cancelled', actions: ['finish'] },
      },
    },
    failed: {
      on: { REPLAY: { target: 'pending', actions: ['resetAttempts', 'makeReady'] } },
    },
    done: { type: 'final' },
    cancelled: { type: 'final' },
  },
});

export const itemEvents = [
  'ENQUEUE',
  'UNBLOCK',
  'CHILD_FAIL',
  'RESCHEDULE',
  'DUE',
  'EXPIRE',
  'CLAIM',
  'COMPLETE',
  'FAIL',
  'LEASE_EXPIRE',
  'RELEASE',
  'EXTEND',
  'CANCEL',
  'REPLAY',
] as const;
export type ItemEvent = (typeof itemEvents)[number];
export type GuardName = 'isRefused' | 'isBlocked' | 'waitsForTime' | 'mayRetry';
export type ActionName =
  | 'makeReady'
  | 'returnToPlace'
  | 'startAttempt'
  | 'endAttempt'
  | 'undoAttempt'
  | 'resetAttempts'
  | 'grantLease'
  | 'clearLease'
  | 'awaitTime'
  | 'finish';
