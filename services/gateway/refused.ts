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

/**
 * The refusal that an error carries, if it carries one. Not by its class alone: where a body cannot be unpacked, the
 * plugin writes what we said onto an error of its own.
 */
export function refusedIn(error: unknown): Pick<Refused, 'refusal' | 'httpStatus'> | undefined {
  const carried = error as Partial<Refused> | null | undefined;
  if (carried?.refusal === undefined) return undefined;
  return { refusal: carried.refusal, httpStatus: carried.httpStatus };
}
