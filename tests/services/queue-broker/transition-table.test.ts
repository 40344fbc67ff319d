import { createActor, transition } from 'xstate';
import { getShortestPaths, getSimplePaths } from 'xstate/graph';
import { describe, expect, test } from 'vitest';
import { type GuardName, itemEvents, itemMachine } from '#services/queue-broker/core/item-machine.ts';
import {
  type MachineState,
  type TransitionTable,
  checkTable,
  compileTable,
  lookUp,
} from '#services/queue-broker/core/transition-table.ts';
import { states } from '#shared/protocol/queue-schemas.ts';

const table = compileTable();

/** The machine with its guards answering as given. */
const machineWith = (outcome: Readonly<Record<GuardName, boolean>>) =>
  itemMachine.provide({
    guards: {
      isRefused: () => outcome.isRefused,
      isBlocked: () => outcome.isBlocked,
      waitsForTime: () => outcome.waitsForTime,
      mayRetry: () => outcome.mayRetry,
    },
  });

const both = [false, true];
const outcomes = both.flatMap((isRefused) =>
  both.flatMap((isBlocked) =>
    both.flatMap((waitsForTime) =>
      both.map((mayRetry) => ({ isRefused, isBlocked, waitsForTime, mayRetry })),
    ),
  ),
);

const events = itemEvents.map((type) => ({ type }));

test('the compiled table agrees with the machine in every state, event and guard outcome', () => {
  expect(checkTable(table)).toEqual([]);
});

describe.each(outcomes)(
  'with refused $isRefused, blocked $isBlocked, waiting $waitsForTime, retry $mayRetry',
  (outcome) => {
    const machine = machineWith(outcome);
    const paths = [
      ...getShortestPaths(machine, { events }),
      ...getSimplePaths(machine, { events, limit: 20_000 }),
    ];

    test('every path that the machine knows leads the table to the same states with the same actions', () => {
      expect(paths.length).toBeGreaterThan(2);
      for (const path of paths) {
        let snapshot = machine.resolveState({ value: 'new', context: {} });
        let state: MachineState = 'new';
        for (const { event } of path.steps) {
          // XState's own first step of a path says that the machine starts.
          const known = itemEvents.find((one) => one === event.type);
          if (known === undefined) continue;
          const [next, actions] = transition(machine, snapshot, { type: known });
          const found = lookUp(table, state, known, (guard) => outcome[guard]);
          expect(found?.target).toBe(next.value);
          expect(found?.actions).toEqual(actions.map(({ type }) => type));
          snapshot = next;
          state = found?.target ?? state;
        }
        expect(path.state.value).toBe(state);
      }
    });
  },
);

test('every state is reached from new', () => {
  const reached = new Set(
    outcomes.flatMap((outcome) =>
      getShortestPaths(machineWith(outcome), { events }).map((path): string => path.state.value),
    ),
  );
  expect([...reached].sort()).toEqual(['new', ...states].sort());
});

test('done and cancelled are the end; failed is left by a replay alone', () => {
  for (const event of itemEvents) {
    expect(lookUp(table, 'done', event, () => true)).toBeUndefined();
    expect(lookUp(table, 'cancelled', event, () => true)).toBeUndefined();
    if (event !== 'REPLAY') expect(lookUp(table, 'failed', event, () => true)).toBeUndefined();
  }
});

test('the machine begins in new', () => {
  expect(createActor(itemMachine).getSnapshot().value).toBe('new');
});

describe('a planted difference is named', () => {
  const planted = (change: TransitionTable) => checkTable({ ...table, ...change });
  const processing = table.processing ?? {};

  test('another target', () => {
    const faults = planted({
      pending: { ...table.pending, CANCEL: [{ target: 'done', actions: ['finish'] }] },
    });
    expect(faults[0]).toBe(
      'pending on CANCEL: the table says done with finish, XState cancelled with finish',
    );
  });

  test('a missing action', () => {
    const faults = planted({
      processing: { ...processing, COMPLETE: [{ target: 'done', actions: ['endAttempt', 'finish'] }] },
    });
    expect(faults[0]).toContain('processing on COMPLETE');
  });

  test('a missing event', () => {
    expect(planted({ failed: {} })[0]).toContain('failed on REPLAY: the table says nothing');
  });

  test('an event too many', () => {
    const faults = planted({ done: { CANCEL: [{ target: 'cancelled', actions: [] }] } });
    expect(faults[0]).toContain('done on CANCEL');
  });

  test('a forgotten guard', () => {
    const FAIL = (processing.FAIL ?? []).map(({ target, actions }) => ({ target, actions }));
    expect(planted({ processing: { ...processing, FAIL } })[0]).toContain('processing on FAIL');
  });
});
