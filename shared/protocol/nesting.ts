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
  for (const inner of innerOf(value)) if (isTooDeep(inner, levelsLeft - 1)) return true;
  return false;
}

function innerOf(value: object): Iterable<unknown> {
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  return value instanceof Set ? value : Object.values(value);
}

export const tooDeep = (field: string) =>
  refuseField(field, `must not be nested deeper than ${nestingMax} levels`);
