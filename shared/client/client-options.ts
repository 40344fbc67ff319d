import { TrivetError, refuseField } from '#shared/protocol/errors.ts';

/** Throws a `TrivetError` `invalid_request` that names the first option that nobody knows: a slip would do nothing. */
export function refuseUnknown(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new TrivetError(
    refuseField(unknown.slice(0, 64), `is not a known option; these are: ${known.join(', ')}`).error,
  );
}

/** Of queues and workers alike: found out only with the first item, it would fail every one of them. */
export function requireLayers({ schema, middleware }: { schema?: unknown; middleware?: unknown }): void {
  const standard = (schema as { '~standard'?: { validate?: unknown } } | undefined)?.['~standard'];
  if (schema !== undefined && typeof standard?.validate !== 'function')
    throw new TrivetError(refuseField('schema', 'must be a Standard Schema').error);
  if (middleware === undefined) return;
  if (!Array.isArray(middleware) || middleware.some((layer) => typeof layer !== 'function'))
    throw new TrivetError(refuseField('middleware', 'must be a list of functions').error);
}
