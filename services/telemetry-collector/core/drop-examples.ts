/** One of those that were dropped, so that somebody can look for it. */
export interface DropExample {
  readonly atMs: number;
  readonly subject: string;
  readonly sequence: number | undefined;
  readonly index: number | undefined;
  readonly message: string;
  /** The beginning of the record as it came. */
  readonly record: string;
}

const recordLengthMax = 512;
const reasonsMax = 50;
const decoder = new TextDecoder();

/** The last of what was dropped, by reason. */
export class DropExamples {
  readonly #byReason = new Map<string, DropExample>();

  get all(): ReadonlyMap<string, DropExample> {
    return this.#byReason;
  }

  /** True where none of this reason was noted since `sinceMs`: making one may cost something. */
  isWanted(reason: string, sinceMs: number): boolean {
    return (this.#byReason.get(reason)?.atMs ?? Number.NEGATIVE_INFINITY) < sinceMs;
  }

  note(reason: string, example: Omit<DropExample, 'record'> & { readonly body: Uint8Array }): void {
    if (this.#byReason.size >= reasonsMax && !this.#byReason.has(reason)) return;
    const { body, ...rest } = example;
    const record = decoder.decode(body.subarray(0, recordLengthMax)).toWellFormed();
    this.#byReason.set(reason, { ...rest, record });
  }
}
