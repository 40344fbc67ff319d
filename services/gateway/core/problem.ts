import { type ErrorCode, type Refusal, errorTable } from '#shared/protocol/errors.ts';
import type { Problem } from '#shared/protocol/http-schemas.ts';

const titles: Readonly<Record<ErrorCode, string>> = {
  invalid_request: 'The request is not valid',
  unauthorized: 'A token is needed',
  forbidden: 'Not allowed',
  not_found: 'Not found',
  lease_lost: 'The lease is lost',
  conflict: 'The request conflicts with what is there',
  wrong_state: 'Not possible in this state',
  wrong_owner: 'Another node answers for this key',
  payload_too_large: 'Too large',
  queue_full: 'The queue is full',
  rate_limited: 'Too many requests',
  unavailable: 'Not available at the moment',
  timeout: 'No answer in time',
  internal: 'Internal error',
};

/** The request that a problem belongs to. */
export interface Occurrence {
  /** Path of the request, without its query: that may hold what does not belong into an error. */
  readonly instance: string;
  readonly requestId: string;
  /** Where HTTP knows better than the table: 405, 415 and their like are all `invalid_request`. */
  readonly status?: number | undefined;
}

/**
 * The problem+json document of a refusal (RFC 9457). The refusal's details become members of their own, `field` among
 * them, but never take the place of a member that the document has already.
 * @returns a document with the table's status and code; never throws
 */
export function problemOf(refusal: Refusal, occurrence: Occurrence): Problem {
  const document = {
    type: `urn:trivet:error:${refusal.code}`,
    title: titles[refusal.code],
    status: occurrence.status ?? errorTable[refusal.code].status,
    detail: refusal.message,
    code: refusal.code,
    instance: occurrence.instance,
    requestId: occurrence.requestId,
  };
  return { ...document, ...refusal.details, ...document };
}
