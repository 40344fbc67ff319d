import { json, msgpack } from '#shared/protocol/encoding.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { timerMsMax } from '#shared/runtime/clock.ts';
import type { CacheOptions } from './cache-options.ts';

/**
 * Throws a `TrivetError` `invalid_request` that names the first option that nobody knows: a slip would do nothing.
 * @param prefix of its name, where it stands in another option: `near.`
 */
export function refuseUnknown(options: object, known: readonly string[], prefix = ''): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  reject(`${prefix}${unknown.slice(0, 64)}`, `is not a known option; these are: ${known.join(', ')}`);
}

/** Throws a `TrivetError` `invalid_request` that names the option. */
export function reject(option: string, problem: string): never {
  throw new TrivetError(refuseField(option, problem).error);
}

/** Throws a `TrivetError` `invalid_request` where a program without types brings nothing, or text, in its place. */
export function requireObject(value: unknown, field: string): void {
  if (typeof value !== 'object' || value === null) reject(field, 'must be an object');
}

/** Of queues and workers alike: found out only with the first item, it would fail every one of them. */
export function requireLayers({ schema, middleware }: { schema?: unknown; middleware?: unknown }): void {
  const standard = (schema as { '~standard'?: { validate?: unknown } } | undefined)?.['~standard'];
  if (schema !== undefined && typeof standard?.validate !== 'function')
    reject('schema', 'must be a Standard Schema');
  if (middleware === undefined) return;
  if (!Array.isArray(middleware) || middleware.some((layer) => typeof layer !== 'function'))
    reject('middleware', 'must be a list of functions');
}

/** As far as they are not looked at where they are used: a slip would be seen as late as there, or not at all. */
export function requireCacheOptions<T>(options: CacheOptions<T>): void {
  refuseUnknown(options, ['encoding', 'timeoutMs', 'schema', 'near', 'onError']);
  requireLayers(options);
  const { encoding, timeoutMs, near, onError } = options;
  if (encoding !== undefined && encoding !== json && encoding !== msgpack)
    reject('encoding', `must be ${json} or ${msgpack}`);
  const isTime = typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs <= timerMsMax;
  if (timeoutMs !== undefined && !isTime)
    reject('timeoutMs', `must be a number above 0, of at most ${timerMsMax}`);
  if (onError !== undefined && typeof onError !== 'function') reject('onError', 'must be a function');
  if (near === undefined || typeof near === 'boolean') return;
  if (typeof near !== 'object' || near === null)
    reject('near', 'must be true, false or an object {entriesMax?, ttl?}');
  refuseUnknown(near, ['entriesMax', 'ttl'], 'near.');
}
