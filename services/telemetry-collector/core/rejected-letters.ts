import type { DeadLetter, ReadMessage } from './reading.ts';
import type { Rejection, Series } from './series.ts';

/** Dead letters of the records whose values found no series. */
export const rejectedLetters = (
  read: ReadMessage,
  rejected: Readonly<Record<Rejection, readonly number[]>>,
): readonly DeadLetter[] =>
  rejections.flatMap((reason) =>
    rejected[reason].length === 0 ? [] : read.lettersOf(rejected[reason], reason, rejectionText[reason]),
  );

const rejections = ['series_limit', 'type_conflict'] as const satisfies readonly Rejection[];

export const isRejection = (changed: readonly Series[] | Rejection): changed is Rejection =>
  typeof changed === 'string';

const rejectionText: Readonly<Record<Rejection, string>> = {
  series_limit: 'name, tags or source are too many different ones',
  type_conflict: 'the name is known with another type',
};
