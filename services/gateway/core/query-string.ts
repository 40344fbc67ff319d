import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';

/** The part of a JSON schema that says whether a parameter's text stands for a number. */
interface ParameterSchema {
  readonly type?: unknown;
  readonly anyOf?: readonly object[];
}

type QueryValue = string | number | boolean;

export interface QuerySchema {
  readonly properties?: Readonly<Record<string, object>>;
}

const integerExpression = /^-?[0-9]{1,15}$/;
const numberExpression = /^-?[0-9]{1,15}(\.[0-9]{1,9})?$/;

/**
 * A query string's parameters as the values that their schema speaks of: a parameter that may be a number or a truth
 * value and is written like one becomes that, every other one stays text. Whether the value fits is the validator's to say.
 * @param raw what the URL parser made: text, or a list of texts where a parameter was given more than once
 * @returns the values, or a refusal of the first parameter that was repeated; never throws; O(parameters)
 */
export function readQuery(
  schema: QuerySchema,
  raw: Readonly<Record<string, string | readonly string[] | undefined>>,
): Result<Record<string, QueryValue>> {
  const values: Record<string, QueryValue> = {};
  for (const [name, text] of Object.entries(raw)) {
    if (text === undefined) continue;
    if (typeof text !== 'string') return refuseField(name, 'is given more than once');
    const value = valueOf(schema.properties?.[name] ?? {}, text);
    // Defined, not assigned: `__proto__` is a name that a caller may send.
    Object.defineProperty(values, name, { value, enumerable: true });
  }
  return accept(values);
}

function valueOf(parameter: ParameterSchema, text: string): QueryValue {
  if (mayBe('integer', parameter) && integerExpression.test(text)) return Number(text);
  if (mayBe('number', parameter) && numberExpression.test(text)) return Number(text);
  if (mayBe('boolean', parameter) && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

const mayBe = (type: string, { type: own, anyOf }: ParameterSchema): boolean =>
  own === type || anyOf?.some((one) => mayBe(type, one)) === true;
