import { refuseField } from './errors.ts';
import { nestingMax } from './limits.ts';

/**
 * True when arrays, objects, maps and sets stand in each other deeper than `nestingMax`. Reading such a value may succeed where
 * writing it again overflows the stack, so it is refused at the door.
 * @returns never throws: it looks no deeper than the limit; O(size)
 */
export function isTooDeep(value: unknown, levelsLeft = nestingMax): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  if (levelsLeft === 0) return true;
  // Most of what is in a large value are numbers and texts: a call for each of them is most of the cost.
  for (const inner of innerOf(value))
    if (typeof inner === 'object' && inner !== null && isTooDeep(inner, levelsLeft - 1)) return true;
  return false;
}

function innerOf(value: object): Iterable<unknown> {
  if (Array.isArray(value) || value instanceof Set) return value as Iterable<unknown>;
  return value instanceof Map ? [...value.keys(), ...value.values()] : Object.values(value);
}

export const tooDeep = (field: string) =>
  refuseField(field, `must not be nested deeper than ${nestingMax} levels`);
