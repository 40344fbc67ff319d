import { json, msgpack } from '#shared/protocol/encoding.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import type { CacheOptions } from './cache-options.ts';

/** Throws a `TrivetError` `invalid_request` that names the first option that nobody knows: a slip would do nothing. */
export function refuseUnknown(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new TrivetError(
    refuseField(unknown.slice(0, 64), `is not a known option; these are: ${known.join(', ')}`).error,
  );
}

/** Throws a `TrivetError` `invalid_request` where a program without types brings nothing, or text, in its place. */
export function requireObject(value: unknown, field: string): void {
  if (typeof value !== 'object' || value === null)
    throw new TrivetError(refuseField(field, 'must be an object').error);
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

/** As far as they are not looked at where they are used: a slip would be seen as late as there, or not at all. */
export function requireCacheOptions<T>(options: CacheOptions<T>): void {
  refuseUnknown(options, ['encoding', 'timeoutMs', 'schema', 'near', 'onError']);
  requireLayers(options);
  const { encoding, timeoutMs, near, onError } = options;
  if (encoding !== undefined && encoding !== json && encoding !== msgpack)
    throw new TrivetError(refuseField('encoding', `must be ${json} or ${msgpack}`).error);
  if (
    timeoutMs !== undefined &&
    !(typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs <= timeoutMsMax)
  )
    throw new TrivetError(
      refuseField('timeoutMs', `must be a number above 0, of at most ${timeoutMsMax}`).error,
    );
  if (onError !== undefined && typeof onError !== 'function')
    throw new TrivetError(refuseField('onError', 'must be a function').error);
  if (near === undefined || typeof near === 'boolean') return;
  if (typeof near !== 'object' || near === null)
    throw new TrivetError(refuseField('near', 'must be true, false or an object {entriesMax?, ttl?}').error);
  const unknown = Object.keys(near).find((name) => name !== 'entriesMax' && name !== 'ttl');
  if (unknown !== undefined)
    throw new TrivetError(refuseField(`near.${unknown.slice(0, 64)}`, 'is not a known option').error);
}

/** What a timer of Node.js can count. */
const timeoutMsMax = 2_147_483_647;
