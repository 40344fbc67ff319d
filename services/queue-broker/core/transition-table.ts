import { transition } from 'xstate';
import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { type ActionName, type GuardName, type ItemEvent, itemEvents, itemMachine } from './item-machine.ts';

/** A stored state, or `new`, where an item begins. */
export type MachineState = QueueStatus | 'new';

export interface Transition {
  readonly guard?: GuardName;
  readonly target: QueueStatus;
  readonly actions: readonly ActionName[];
}

/** States × events → the transitions to try, in order. */
export type TransitionTable = Readonly<
  Partial<Record<MachineState, Readonly<Partial<Record<ItemEvent, readonly Transition[]>>>>>
>;

/** How the machine writes one transition down. */
interface WrittenTransition {
  readonly guard?: GuardName;
  readonly target?: string;
  readonly actions?: readonly ActionName[];
}

/**
 * Compiles the machine into a table: XState's own `transition` costs 15–45 µs a call, a look-up nanoseconds.
 * Call `checkTable` on the result before trusting it.
 */
export function compileTable(): TransitionTable {
  const table: Partial<Record<MachineState, Partial<Record<ItemEvent, readonly Transition[]>>>> = {};
  for (const [state, definition] of Object.entries(itemMachine.config.states ?? {})) {
    const row: Partial<Record<ItemEvent, readonly Transition[]>> = {};
    for (const [event, written] of Object.entries(definition.on ?? {})) {
      const list = (Array.isArray(written) ? written : [written]) as readonly WrittenTransition[];
      row[event as ItemEvent] = list.map((one) => ({
        ...(one.guard === undefined ? {} : { guard: one.guard }),
        target: (one.target ?? state) as QueueStatus,
        actions: one.actions ?? [],
      }));
    }
    table[state as MachineState] = row;
  }
  return table;
}

/**
 * The transition that the table takes, or undefined where the state does not know the event.
 * @param holds says whether a guard holds; asked only for guards that stand before the transition taken
 */
export function lookUp(
  table: TransitionTable,
  state: MachineState,
  event: ItemEvent,
  holds: (guard: GuardName) => boolean,
): Transition | undefined {
  // A loop: every step of every item comes by here.
  for (const one of table[state]?.[event] ?? []) if (one.guard === undefined || holds(one.guard)) return one;
  return undefined;
}

/**
 * Every disagreement between the table and XState itself, for every state, event and guard outcome.
 * @returns sentences; an empty list means that the table may be trusted
 */
export function checkTable(table: TransitionTable): readonly string[] {
  const faults: string[] = [];
  for (const outcome of guardOutcomes) {
    const machine = machineWhere(outcome);
    for (const state of Object.keys(itemMachine.config.states ?? {}) as MachineState[]) {
      for (const event of itemEvents) {
        const expected = askXState(machine, state, event);
        const found = lookUp(table, state, event, (guard) => outcome[guard]);
        const said = found === undefined ? 'nothing' : `${found.target} with ${found.actions.join(', ')}`;
        if (said !== expected)
          faults.push(`${state} on ${event}: the table says ${said}, XState ${expected}`);
      }
    }
  }
  return faults;
}

type GuardOutcome = Readonly<Record<GuardName, boolean>>;

const booleans = [false, true] as const;
const guardOutcomes: readonly GuardOutcome[] = booleans.flatMap((isRefused) =>
  booleans.flatMap((isBlocked) =>
    booleans.flatMap((waitsForTime) =>
      booleans.map((mayRetry) => ({ isRefused, isBlocked, waitsForTime, mayRetry })),
    ),
  ),
);

/** Costs XState a tenth of a millisecond: one for each outcome, not one for each question. */
const machineWhere = (outcome: GuardOutcome) =>
  itemMachine.provide({
    guards: {
      isRefused: () => outcome.isRefused,
      isBlocked: () => outcome.isBlocked,
      waitsForTime: () => outcome.waitsForTime,
      mayRetry: () => outcome.mayRetry,
    },
  });

function askXState(machine: typeof itemMachine, state: MachineState, event: ItemEvent): string {
  const before = machine.resolveState({ value: state, context: {} });
  if (!before.can({ type: event })) return 'nothing';
  const [after, actions] = transition(machine, before, { type: event });
  return `${after.value} with ${actions.map((action) => action.type).join(', ')}`;
}
