import { nameLengthMax } from './limits.ts';

/** A queue's or cache namespace's name: one subject token. */
export const namePattern = `^[A-Za-z0-9_-]{1,${nameLengthMax}}$`;

const nameExpression = new RegExp(namePattern);

/**
 * True when `name` may name a queue or a cache namespace. O(length), never throws. Callers without types may bring
 * anything: an expression would take undefined, such as a variable of the environment that is not set, for its text.
 */
export const isName = (name: unknown): boolean => typeof name === 'string' && nameExpression.test(name);

/** First token of every subject of one cluster. */
export const isPrefix = (prefix: string): boolean => /^[A-Za-z0-9_-]{1,32}$/.test(prefix);

/** What a prefix must be, behind "must be" or "expected". */
export const prefixForm = '1 to 32 characters of A-Z, a-z, 0-9, _ and -';
