import { nameLengthMax } from './limits.ts';

/** A queue's or cache namespace's name: one subject token. */
export const namePattern = `^[A-Za-z0-9_-]{1,${nameLengthMax}}$`;

const nameExpression = new RegExp(namePattern);

/** True when `name` may name a queue or a cache namespace. O(length), never throws. */
export const isName = (name: string): boolean => nameExpression.test(name);
