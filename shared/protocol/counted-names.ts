import type { SchemaNode } from './expectations.ts';

/** An object within a request that may have so many names, whatever they are. */
export interface CountedObject {
  readonly path: readonly string[];
  readonly namesMax: number;
}

/** Those of a schema that are reached by names alone, and not through a list. */
export function countedObjects(schema: SchemaNode, path: readonly string[] = []): readonly CountedObject[] {
  // Where several kinds of objects may stand, another one may have more names.
  const objects = (schema.anyOf ?? [schema]).filter(
    ({ type, anyOf }) => type === 'object' || anyOf !== undefined,
  );
  const [only] = objects;
  if (only === undefined || objects.length > 1 || only.anyOf !== undefined) return [];
  const below = Object.entries(only.properties ?? {}).flatMap(([name, inner]) =>
    countedObjects(inner, [...path, name]),
  );
  return only.maxProperties === undefined ? below : [{ path, namesMax: only.maxProperties }, ...below];
}

/**
 * The first of these objects that has too many names. TypeBox would look at each name and its value before it counts
 * them: for seconds, where somebody sends a million.
 */
export const overfull = (counted: readonly CountedObject[], value: unknown): CountedObject | undefined =>
  counted.find(({ path, namesMax }) => hasMoreNames(at(path, value), namesMax));

function at(path: readonly string[], value: unknown): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}

function hasMoreNames(value: unknown, namesMax: number): boolean {
  // Lists and bytes have indexes for names; that they are no objects is for TypeBox to say.
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
    return false;
  let count = 0;
  for (const name in value) {
    if (Object.hasOwn(value, name)) count += 1;
    if (count > namesMax) return true;
  }
  return false;
}
