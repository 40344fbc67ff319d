/** What a process's end means to whoever started it (design: commands.md). */
export const exitCodes = {
  done: 0,
  /** It failed while running. */
  failed: 1,
  /** Bad usage or configuration. */
  usage: 2,
  /** A needed part is missing or too old. */
  missingPart: 3,
} as const;

/** Ends a start with one of the codes above and a message for people; not a fault of the program. */
export class StartRefused extends Error {
  readonly exitCode: 2 | 3;

  constructor(exitCode: 2 | 3, message: string) {
    super(message);
    this.name = 'StartRefused';
    this.exitCode = exitCode;
  }
}
