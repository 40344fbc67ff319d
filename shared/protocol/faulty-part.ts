import type { SchemaNode } from './expectations.ts';

/**
 * The part of a refused value in which its fault shows. TypeBox looks for faults everywhere: in a list of three million
 * numbers that may have a thousand, for seconds in which nobody else is answered. One element too many is as wrong as
 * millions of them, and so is one name that is not known.
 * @returns a value that is refused wherever `value` is; as it was where the schema says nothing that could be counted.
 * O(what the schema allows), and one look at the names of each object
 */
export const faultyPart = (schema: SchemaNode, value: unknown): unknown => partOf([schema], value);

/** Of a value that one of these schemas, or none, may govern. */
function partOf(schemas: readonly SchemaNode[], value: unknown): unknown {
  const governing = schemas.flatMap(alternativesOf);
  // Nothing is looked at in a value that may be anything.
  if (governing.some(takesAnything)) return value;
  if (Array.isArray(value)) return elementsOf(governing, value);
  return isPlainObject(value) ? membersOf(governing, value) : value;
}

const alternativesOf = (schema: SchemaNode): readonly SchemaNode[] =>
  schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(alternativesOf);

const takesAnything = ({ type, enum: words, const: constant }: SchemaNode): boolean =>
  type === undefined && words === undefined && constant === undefined;

function elementsOf(governing: readonly SchemaNode[], value: readonly unknown[]): readonly unknown[] {
  const lists = governing.filter(({ type }) => type === 'array');
  // Of what may be no list at all not even one element matters.
  const count = lists.reduce((most, { maxItems = Infinity }) => Math.max(most, maxItems + 1), 0);
  const each = lists.flatMap(({ items }) => items ?? []);
  const kept = value.length <= count ? value : value.slice(0, count);
  return each.length < lists.length ? kept : kept.map((element) => partOf(each, element));
}

function membersOf(governing: readonly SchemaNode[], value: Readonly<Record<string, unknown>>): object {
  const objects = governing.filter(({ type }) => type === 'object');
  const kept: [string, unknown][] = [];
  const known = new Set(objects.flatMap(({ properties = {} }) => Object.keys(properties)));
  for (const name of known) {
    if (!Object.hasOwn(value, name)) continue;
    const schemas = objects.flatMap(({ properties = {} }) =>
      Object.hasOwn(properties, name) ? (properties[name] ?? []) : [],
    );
    kept.push([name, partOf(schemas, value[name])]);
  }
  const byPattern = objects.flatMap(({ patternProperties = {} }) => Object.values(patternProperties));
  let unknownLeft = objects.reduce((most, one) => Math.max(most, unknownMaxOf(one)), 0);
  for (const name in value) {
    if (unknownLeft === 0) break;
    if (known.has(name)) continue;
    unknownLeft -= 1;
    kept.push([name, byPattern.length === 0 ? value[name] : partOf(byPattern, value[name])]);
  }
  // Not by assignment: `__proto__` is a name that a caller may send.
  return Object.fromEntries(kept);
}

/** How many names besides the known ones can matter. */
const unknownMaxOf = ({ patternProperties, maxProperties = Infinity }: SchemaNode): number =>
  patternProperties === undefined ? 1 : maxProperties + 1;

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
