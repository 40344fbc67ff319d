import { isDeepStrictEqual } from 'node:util';

/** A request that must be refused: what is wrong with it, and the field that the refusal has to name. */
export interface BadRequest {
  readonly why: string;
  /** As a refusal names it: `key`, `items[0].ttl`; `body` for the whole. */
  readonly field: string;
  readonly body: unknown;
}

/** What is read of a JSON Schema. */
interface Node {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Node[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly items?: Node;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
}

type Step = string | number;

/**
 * Every way to break a valid request that its schema speaks of, one at a time: each field missing, of each wrong
 * type, just out of each of its bounds; an unknown field in each object that refuses them; a body that is no object.
 * Fields that `valid` leaves out are broken too; objects and the first item of arrays are entered where `valid` has them.
 * @param schema a JSON Schema (type, enum, const, anyOf, properties, items and the usual bounds)
 * @param valid  a body that passes, with no fault of its own
 */
export function* badRequests(schema: object, valid: object): Iterable<BadRequest> {
  yield* faultsOf(schema, valid, { whole: valid, path: [] });
}

interface Place {
  readonly whole: object;
  readonly path: readonly Step[];
}

function* faultsOf(node: Node, value: unknown, place: Place): Iterable<BadRequest> {
  for (const { why, bad } of badValues(node, value)) {
    yield { why, field: fieldOf(place.path), body: replaced(place.whole, place.path, bad) };
  }
  if (node.properties !== undefined && isObject(value)) yield* faultsOfObject(node, value, place);
  if (node.items !== undefined && Array.isArray(value) && value.length > 0)
    yield* faultsOf(node.items, value[0], { whole: place.whole, path: [...place.path, 0] });
}

function* faultsOfObject(node: Node, value: Readonly<Record<string, unknown>>, place: Place) {
  for (const name of node.required ?? []) {
    if (!Object.hasOwn(value, name)) continue;
    const { [name]: _, ...rest } = value;
    const body = replaced(place.whole, place.path, rest);
    yield { why: 'missing', field: fieldOf([...place.path, name]), body };
  }
  if (node.additionalProperties === false) {
    const body = replaced(place.whole, place.path, { ...value, unknownField: 1 });
    yield { why: 'unknown field', field: fieldOf([...place.path, 'unknownField']), body };
  }
  for (const [name, property] of Object.entries(node.properties ?? {}))
    yield* faultsOf(property, value[name], { whole: place.whole, path: [...place.path, name] });
}

/** One value of each JSON type, and one that is easily taken for another. */
const typeSamples: readonly unknown[] = [null, true, 1.5, 'not a word of it !', [], [1], {}, { a: 1 }];

function* badValues(node: Node, valid: unknown): Iterable<{ why: string; bad: unknown }> {
  for (const bad of typeSamples) {
    if (!allows(node, bad)) yield { why: `wrong value ${JSON.stringify(bad)}`, bad };
  }
  for (const branch of node.anyOf ?? [node]) {
    for (const { why, bad } of beyondBounds(branch, valid)) if (!allows(node, bad)) yield { why, bad };
  }
}

function* beyondBounds(node: Node, valid: unknown): Iterable<{ why: string; bad: unknown }> {
  if (node.minimum !== undefined) yield { why: `below ${node.minimum}`, bad: node.minimum - 1 };
  if (node.maximum !== undefined) yield { why: `above ${node.maximum}`, bad: above(node.maximum) };
  if ((node.minLength ?? 0) > 0) yield { why: 'too short', bad: 'x'.repeat((node.minLength ?? 0) - 1) };
  if (node.maxLength !== undefined) yield { why: 'too long', bad: 'x'.repeat(node.maxLength + 1) };
  if ((node.minItems ?? 0) > 0) yield { why: 'too few items', bad: [] };
  if (node.maxItems !== undefined) {
    const item: unknown = Array.isArray(valid) && valid.length > 0 ? valid[0] : 'x';
    yield { why: 'too many items', bad: Array.from({ length: node.maxItems + 1 }, () => item) };
  }
}

/** The next number that a double can tell from `maximum`. */
const above = (maximum: number): number => (maximum >= Number.MAX_SAFE_INTEGER ? maximum * 2 : maximum + 1);

/** Whether the schema lets `value` pass, at this level: what lies inside objects and arrays is broken one by one. */
function allows(node: Node, value: unknown): boolean {
  if (node.anyOf !== undefined) return node.anyOf.some((branch) => allows(branch, value));
  if (node.enum !== undefined) return node.enum.some((one) => isDeepStrictEqual(one, value));
  if (Object.hasOwn(node, 'const')) return isDeepStrictEqual(node.const, value);
  if (node.type !== undefined && !isOfType(node.type, value)) return false;
  if (typeof value === 'number') return inRange(value, node.minimum, node.maximum);
  if (typeof value === 'string') return allowsText(node, value);
  if (Array.isArray(value)) return inRange(value.length, node.minItems, node.maxItems);
  // An object with fields of its own is judged field by field, not here.
  return true;
}

function allowsText(node: Node, text: string): boolean {
  if (node.pattern !== undefined && !new RegExp(node.pattern, 'u').test(text)) return false;
  return inRange(text.length, node.minLength, node.maxLength);
}

const inRange = (value: number, min = -Infinity, max = Infinity): boolean => value >= min && value <= max;

function isOfType(type: string, value: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fieldOf(path: readonly Step[]): string {
  let field = '';
  for (const step of path) {
    if (typeof step === 'number') field += `[${step}]`;
    else field += field === '' ? step : `.${step}`;
  }
  return field === '' ? 'body' : field;
}

/** A copy of `whole` with `value` at `path`. */
function replaced(whole: unknown, path: readonly Step[], value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (Array.isArray(whole)) {
    return whole.map((item: unknown, index) => (index === step ? replaced(item, rest, value) : item));
  }
  const fields = isObject(whole) ? whole : {};
  return { ...fields, [step]: replaced(fields[step], rest, value) };
}
