import { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/schema';
import { countedObjects, overfull } from './counted-names.ts';
import { type Result, accept, refuseField } from './errors.ts';
import { expectationOf, schemaAt } from './expectations.ts';
import { faultyPart } from './faulty-part.ts';

/** Checks a decoded value against a schema: the door through which `unknown` becomes a type. */
export type Validator<T> = (value: unknown) => Result<T>;

/**
 * Compiles a schema into a validator. Compile once at start-up: it costs milliseconds, a check nanoseconds.
 * A refusal is `invalid_request` and names the first field that is wrong, by its path (`items[3].priority`).
 */
export function validator<S extends TSchema>(schema: S): Validator<Static<S>> {
  const compiled = Compile(schema);
  const counted = countedObjects(schema);
  return (value) => {
    const tooFull = counted.length === 0 ? undefined : overfull(counted, value);
    if (tooFull !== undefined) {
      const { path, namesMax } = tooFull;
      return refuseField(fieldPath(path) || 'body', `must not have more than ${namesMax} properties`);
    }
    if (compiled.Check(value)) return accept(value);
    const [, faults] = compiled.Errors(faultyPart(schema, value));
    return describeFault(schema, faults.length > 0 ? faults : compiled.Errors(value)[1]);
  };
}

/** The parts of a TypeBox validation error that the message is made of. */
interface ValidationFault {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: Readonly<Record<string, unknown>>;
}

function describeFault(schema: TSchema, faults: readonly ValidationFault[]) {
  // TypeBox lists `schema is false` before the sentence that names the unknown field.
  const fault = faults.find((one) => one.keyword !== 'boolean') ?? faults[0];
  if (fault === undefined) return refuseField('body', 'is not valid');
  const tokens = pointerTokens(fault.instancePath);
  const path = fieldPath(tokens);
  if (fault.keyword === 'required') {
    return refuseField(join(path, firstOf(fault.params['requiredProperties'])), 'is missing');
  }
  if (fault.keyword === 'additionalProperties') {
    return refuseField(join(path, firstOf(fault.params['additionalProperties'])), 'is not a known field');
  }
  const field = path === '' ? 'body' : path;
  // TypeBox tells counts well; of kinds it says "must be object" or "one of the allowed values", which helps nobody.
  const governing = ofCounts.has(fault.keyword) ? undefined : schemaAt(schema, tokens);
  const expected = governing === undefined ? undefined : expectationOf(governing);
  return refuseField(field, expected === undefined ? fault.message : `must be ${expected}`);
}

const ofCounts: ReadonlySet<string> = new Set(['minItems', 'maxItems', 'minProperties', 'maxProperties']);

const pointerTokens = (pointer: string): readonly string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));

/** `/items/3/priority` as people write it: `items[3].priority`. */
function fieldPath(tokens: readonly string[]): string {
  let path = '';
  for (const token of tokens) path = /^[0-9]+$/.test(token) ? `${path}[${token}]` : join(path, token);
  return path;
}

const join = (path: string, name: string): string => (path === '' ? clip(name) : `${path}.${clip(name)}`);

/** A caller's name may be megabytes long; a thousand of them in the refusals of a batch would not fit its reply. */
const clip = (name: string): string =>
  name.length > nameShownMax ? `${name.slice(0, nameShownMax)}…` : name;
const nameShownMax = 256;

const firstOf = (names: unknown): string => (Array.isArray(names) ? String(names[0]) : 'body');
