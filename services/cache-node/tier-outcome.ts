import { type Refusal, refuse } from '#shared/protocol/errors.ts';

/** What became of a change. */
export interface Outcome {
  /** Undefined: all is well. A refusal: it is not certain that what was changed stays. */
  readonly refusal: Refusal | undefined;
  /**
   * Whether the backend has it. Else that there is an outage was noted, for whoever owns the keys next, which helps only
   * if nobody did before.
   */
  readonly isWritten: boolean;
}

export const written: Outcome = { refusal: undefined, isWritten: true };
export const noted: Outcome = { refusal: undefined, isWritten: false };
export const notNoted: Outcome = {
  isWritten: false,
  refusal: refuse('unavailable', 'the backend is down, and it could not be noted that it is: try again')
    .error,
};
