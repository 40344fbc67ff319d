/**
 * The one table of errors. Callers read the code, never the text; `retryable` says whether the same request
 * may succeed later without being changed.
 */
export const errorTable = {
  invalid_request: { status: 400, retryable: false },
  unauthorized: { status: 401, retryable: false },
  forbidden: { status: 403, retryable: false },
  not_found: { status: 404, retryable: false },
  lease_lost: { status: 409, retryable: false },
  conflict: { status: 409, retryable: false },
  wrong_state: { status: 409, retryable: false },
  /** The node that was asked does not answer for the key (any more): nothing was done, another node does. */
  wrong_owner: { status: 421, retryable: true },
  payload_too_large: { status: 413, retryable: false },
  queue_full: { status: 429, retryable: true },
  rate_limited: { status: 429, retryable: true },
  unavailable: { status: 503, retryable: true },
  timeout: { status: 504, retryable: true },
  internal: { status: 500, retryable: true },
} as const satisfies Record<string, { status: number; retryable: boolean }>;

export type ErrorCode = keyof typeof errorTable;

/** What went wrong, as it travels: in a reply's body, beside an item of a batch, in a problem+json document. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** A value, or the refusal that stands in its place. Errors are values: nothing here throws. */
export type Result<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: Refusal };

export const accept = <T>(value: T): Result<T> => ({ ok: true, value });

export const refuse = (
  code: ErrorCode,
  message: string,
  details?: Refusal['details'],
): { readonly ok: false; readonly error: Refusal } => ({
  ok: false,
  error: details === undefined ? { code, message } : { code, message, details },
});

/** Details of `unavailable` where nothing was done of the request, so that whoever asks again does nothing twice. */
export const notDone = { notDone: true } as const;

/** A bad value in one field of a request. The message begins with the field's path, as `details.field` does. */
export const refuseField = (field: string, problem: string) =>
  refuse('invalid_request', `${field} ${problem}`, { field });

/** True when `code` is a word of the table: the check at the door for what another process sent. */
export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorTable, code);

/** A refusal as an exception, for the edges of the public client where promises reject. */
export class TrivetError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly retryable: boolean;
  readonly details: Refusal['details'];

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(`${refusal.code}: ${refusal.message}`, options);
    this.name = 'TrivetError';
    this.code = refusal.code;
    this.status = errorTable[refusal.code].status;
    this.retryable = errorTable[refusal.code].retryable;
    this.details = refusal.details;
  }
}
