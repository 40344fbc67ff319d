/** How far the table has come; stored in the same transaction as the changes. */
export interface Applied {
  /** Sequence in the log of the last record applied. */
  readonly sequence: number;
  /** The fence in force there. */
  readonly epoch: number;
  /** Time of that record; time never runs behind it. */
  readonly at: number;
  readonly nextOrder: number;
  readonly nextReadyOrder: number;
  /** How far plain publishes have been taken in. */
  readonly ingested: { readonly stream: string; readonly sequence: number };
}

export const nothingApplied: Applied = {
  sequence: 0,
  epoch: 0,
  at: 0,
  nextOrder: 1,
  nextReadyOrder: 1,
  ingested: { stream: '', sequence: 0 },
};
