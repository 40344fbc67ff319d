import { TrivetError, refuseField } from '#shared/protocol/errors.ts';

/** Throws a `TrivetError` `invalid_request` that names the first option that nobody knows: a slip would do nothing. */
export function refuseUnknown(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new TrivetError(
    refuseField(unknown.slice(0, 64), `is not a known option; these are: ${known.join(', ')}`).error,
  );
}
