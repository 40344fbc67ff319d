import { type TSchema, Type } from 'typebox';
import { durationPattern } from './durations.ts';
import { cacheKeyBytesMax, keyLengthMax, tagLengthMax, tagsMax } from './limits.ts';
import { namePattern } from './names.ts';
import { timeMsMax, timePattern } from './times.ts';

// Building blocks of the schemas. `x-expected` completes the sentence "<field> must be …" of a refusal,
// where the schema's own wording (a pattern, a union) would not help the reader.

/** An object that refuses what it does not know. */
export const Strict = <P extends Record<string, TSchema>>(properties: P, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** A closed set of words. */
export const Word = <Words extends string[]>(words: readonly [...Words]) =>
  Type.Enum(words, { 'x-expected': `one of ${words.join(', ')}` });

export const Name = Type.String({
  pattern: namePattern,
  'x-expected': '1 to 64 characters of A-Z, a-z, 0-9, _ and -',
});

export const Duration = Type.Union(
  [Type.String({ pattern: durationPattern }), Type.Integer({ minimum: 0, maximum: 999_999_999_999 })],
  {
    'x-expected': 'a duration such as "250ms", "30s", "5m", "2h" or "7d", or whole milliseconds as a number',
  },
);

export const Time = Type.Union(
  [Type.String({ pattern: timePattern }), Type.Number({ minimum: 0, maximum: timeMsMax })],
  { 'x-expected': 'an RFC 3339 time such as "2026-01-31T12:00:00Z", or epoch milliseconds' },
);

export const ItemId = Type.String({
  pattern: '^[0-9a-z]{1,4}-[0-9a-z]{1,12}$',
  'x-expected': 'an item id as enqueue returned it',
});

export const Token = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

export const Key = Type.String({ minLength: 1, maxLength: keyLengthMax });

/** A cache key; its length in bytes of UTF-8 is checked by the cache, since JSON Schema counts characters. */
export const CacheKey = Type.String({ minLength: 1, maxLength: cacheKeyBytesMax });

/**
 * Keys of a record, by their length: TypeBox keeps nothing of a key's schema but its pattern. `__proto__` is no key:
 * MessagePack libraries for JavaScript rename it, so that it could not come back as it was sent.
 */
export const KeyText = (lengthMax: number) =>
  Type.String({ pattern: `^(?!__proto__$)[\\s\\S]{1,${lengthMax}}$` });

export const Tags = Type.Record(
  KeyText(tagLengthMax),
  Type.Union([Type.String({ maxLength: 4 * tagLengthMax }), Type.Number(), Type.Boolean()]),
  {
    additionalProperties: false,
    maxProperties: tagsMax,
    'x-expected': 'an object of at most 64 strings, numbers or booleans, with names of 1 to 256 characters',
  },
);
