import { numberOf } from '#shared/protocol/exact-json.ts';

/** What an attribute becomes: the values that OTLP can carry and that people can read. */
export type AttributeValue =
  | string
  | number
  | boolean
  | Uint8Array
  | readonly AttributeValue[]
  | { readonly [name: string]: AttributeValue };

export type Attributes = Readonly<Record<string, AttributeValue>>;

/** Deeper values become JSON text: no backend can search there, and a record must not exhaust the stack. */
export const depthMax = 8;

/**
 * One attribute as it goes out. No value silently becomes another or nothing:
 * a finite number, a boolean and bytes stay; text loses unpaired surrogates (they become U+FFFD);
 * NaN and the infinities become their names, a big integer its decimal digits, a date RFC 3339,
 * null and undefined the word `null`; arrays and objects keep their shape down to `depthMax`.
 */
export function attributeValue(value: unknown, depth = 0): AttributeValue {
  switch (typeof value) {
    case 'string':
      return value.toWellFormed();
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return value.toString();
    case 'object':
      return objectValue(value, depth);
    default:
      return value === undefined ? 'null' : typeof value;
  }
}

/** Every attribute of a record, by `attributeValue`. */
export function attributesOf(given: Readonly<Record<string, unknown>> | undefined): Attributes {
  if (given === undefined) return {};
  // Nearly always there is nothing to change; then nothing is copied.
  return isPlain(given) ? (given as Attributes) : objectOf(given, 0);
}

/** True where every name and value already is what it would become. */
function isPlain(given: Readonly<Record<string, unknown>>): boolean {
  for (const name of Object.keys(given)) {
    const value = given[name];
    const isKept =
      typeof value === 'string'
        ? value.isWellFormed()
        : typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));
    if (!isKept || !name.isWellFormed() || name === '__proto__') return false;
  }
  return true;
}

function objectValue(value: object | null, depth: number): AttributeValue {
  if (value === null) return 'null';
  if (value instanceof Uint8Array) return value;
  const number = numberOf(value);
  if (number !== value) return attributeValue(number, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (depth >= depthMax) return jsonText(value);
  if (Array.isArray(value)) return value.map((one) => attributeValue(one, depth + 1));
  return objectOf(value as Readonly<Record<string, unknown>>, depth + 1);
}

function objectOf(given: Readonly<Record<string, unknown>>, depth: number): Attributes {
  // Without a prototype, so that a name such as `__proto__` is a name like any other.
  const made = Object.create(null) as Record<string, AttributeValue>;
  for (const [name, value] of Object.entries(given)) made[name.toWellFormed()] = attributeValue(value, depth);
  return made;
}

const jsonText = (value: object): string =>
  JSON.stringify(value, (_name, inner: unknown) =>
    typeof inner === 'bigint' ? inner.toString() : inner,
  ).toWellFormed();
