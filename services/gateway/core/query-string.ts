import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';

/** The part of a JSON schema that says whether a parameter's text stands for a number. */
interface ParameterSchema {
  readonly type?: unknown;
  readonly anyOf?: readonly object[];
}

export interface QuerySchema {
  readonly properties?: Readonly<Record<string, object>>;
}

const integerExpression = /^-?[0-9]{1,15}$/;

/**
 * A query string's parameters as the values that their schema speaks of: a parameter that may be an integer and is
 * written like one becomes a number, every other one stays text. Whether the value fits is the validator's to say.
 * @param raw what the URL parser made: text, or a list of texts where a parameter was given more than once
 * @returns the values, or a refusal of the first parameter that was repeated; never throws; O(parameters)
 */
export function readQuery(
  schema: QuerySchema,
  raw: Readonly<Record<string, string | readonly string[] | undefined>>,
): Result<Record<string, string | number>> {
  const values: Record<string, string | number> = {};
  for (const [name, text] of Object.entries(raw)) {
    if (text === undefined) continue;
    if (typeof text !== 'string') return refuseField(name, 'is given more than once');
    const integral = mayBeInteger(schema.properties?.[name]) && integerExpression.test(text);
    // Defined, not assigned: `__proto__` is a name that a caller may send.
    Object.defineProperty(values, name, { value: integral ? Number(text) : text, enumerable: true });
  }
  return accept(values);
}

function mayBeInteger(parameter: object | undefined): boolean {
  const { type, anyOf }: ParameterSchema = parameter ?? {};
  return type === 'integer' || anyOf?.some(mayBeInteger) === true;
}
