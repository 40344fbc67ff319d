/** The parts of a JSON schema that a sentence is made of. */
export interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly maxItems?: number;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly maxProperties?: number;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly 'x-expected'?: string;
}

/** Fields of an object that are named; more would be a page of documentation and no sentence. */
const fieldsNamedMax = 12;

/**
 * What a schema wants, as the end of "must be …": its own `x-expected`, or words made from it.
 * @returns undefined where it takes anything, or has nothing that can be said; never throws
 */
export function expectationOf(schema: SchemaNode): string | undefined {
  const { 'x-expected': said, anyOf, enum: words, const: constant, type } = schema;
  if (said !== undefined) return said;
  if (words !== undefined) return `one of ${words.map(String).join(', ')}`;
  if (constant !== undefined) return JSON.stringify(constant);
  if (anyOf !== undefined) return alternatives(anyOf.map(expectationOf));
  return kinds[type ?? '']?.(schema);
}

/** The schema that governs the value at `tokens`; of several that may, the first that goes so deep. */
export function schemaAt(schema: SchemaNode, tokens: readonly string[]): SchemaNode | undefined {
  const [token, ...rest] = tokens;
  if (token === undefined) return schema;
  const below =
    (Object.hasOwn(schema.properties ?? {}, token) ? schema.properties?.[token] : undefined) ??
    schema.items ??
    Object.values(schema.patternProperties ?? {})[0];
  if (below !== undefined) return schemaAt(below, rest);
  return schema.anyOf?.map((one) => schemaAt(one, tokens)).find((found) => found !== undefined);
}

function alternatives(all: readonly (string | undefined)[]): string | undefined {
  const said = all.filter((one) => one !== undefined);
  if (said.length < all.length) return undefined;
  const [last = '', ...others] = [...new Set(said)].toReversed();
  return others.length === 0 ? last : `${others.toReversed().join(', ')} or ${last}`;
}

const kinds: Readonly<Record<string, (schema: SchemaNode) => string | undefined>> = {
  object: anObject,
  array: ({ items }) => {
    const each = items === undefined ? undefined : expectationOf(items);
    return each === undefined ? 'a list' : `a list, each of it ${each}`;
  },
  string: ({ minLength, maxLength, pattern }) => {
    const length = range(minLength, maxLength);
    if (pattern !== undefined) return `text that matches ${pattern}`;
    return length === '' ? 'text' : `text of ${length} characters`;
  },
  integer: ({ minimum, maximum }) => after('a whole number', range(minimum, maximum, 'from ')),
  number: ({ minimum, maximum }) => after('a number', range(minimum, maximum, 'from ')),
  boolean: () => 'true or false',
  null: () => 'null',
};

function anObject({ properties, required = [] }: SchemaNode): string {
  if (properties === undefined) return 'an object';
  const names = Object.keys(properties);
  if (names.length === 0) return 'an empty object';
  // Those that must be there come first: they are what the reader has forgotten.
  const ordered = [...required, ...names.filter((name) => !required.includes(name))];
  const shown = ordered.slice(0, fieldsNamedMax).map((name) => (required.includes(name) ? name : `${name}?`));
  return `an object {${[...shown, ...(ordered.length > fieldsNamedMax ? ['…'] : [])].join(', ')}}`;
}

const after = (kind: string, bounds: string): string => (bounds === '' ? kind : `${kind} ${bounds}`);

/** `1 to 64`, `at most 64`, `at least 1`. An upper bound of the number format alone is no news. */
function range(min: number | undefined, max: number | undefined, from = ''): string {
  const isNews = max !== undefined && (max < Number.MAX_SAFE_INTEGER || min === Number.MIN_SAFE_INTEGER);
  const upper = isNews ? max : undefined;
  if (upper === undefined) return min === undefined ? '' : `at least ${min}`;
  return min === undefined ? `at most ${upper}` : `${from}${min} to ${upper}`;
}
