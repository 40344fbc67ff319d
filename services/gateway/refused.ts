import type { Refusal } from '#shared/protocol/errors.ts';

/** A refusal on its way through Fastify, whose hooks and parsers can only throw. */
export class Refused extends Error {
  readonly refusal: Refusal;
  /** Where HTTP has a status of its own that the error table does not know (405, 415). */
  readonly httpStatus: number | undefined;

  constructor(refusal: Refusal, httpStatus?: number) {
    super(refusal.message);
    this.name = 'Refused';
    this.refusal = refusal;
    this.httpStatus = httpStatus;
  }
}
