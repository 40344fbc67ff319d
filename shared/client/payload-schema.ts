import type { StandardSchemaV1 } from '@standard-schema/spec';
import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';

/** A schema of any library that implements Standard Schema (https://standardschema.dev). */
export type PayloadSchema<Input = unknown, Output = Input> = StandardSchemaV1<Input, Output>;

/**
 * Checks a payload.
 * @returns what the schema makes of it (defaults filled in, texts parsed), or `invalid_request` that names the field
 *   by its path from `payload` (or `root`); a promise only where the schema itself needs one
 */
export function checkPayload<Output>(
  schema: PayloadSchema<unknown, Output>,
  payload: unknown,
  root = 'payload',
): Result<Output> | Promise<Result<Output>> {
  const checked = schema['~standard'].validate(payload);
  return checked instanceof Promise ? checked.then((one) => resultOf(one, root)) : resultOf(checked, root);
}

function resultOf<Output>(checked: StandardSchemaV1.Result<Output>, root: string): Result<Output> {
  if (checked.issues === undefined) return accept(checked.value);
  const [issue] = checked.issues;
  if (issue === undefined) return refuseField(root, 'does not fit its schema');
  return refuseField(`${root}${pathOf(issue.path ?? [])}`, `does not fit its schema: ${issue.message}`);
}

/** `.items[3].name` */
function pathOf(path: NonNullable<StandardSchemaV1.Issue['path']>): string {
  return path
    .map((part) => (typeof part === 'object' ? part.key : part))
    .map((key) =>
      typeof key === 'number' || /^[0-9]+$/.test(String(key)) ? `[${String(key)}]` : `.${String(key)}`,
    )
    .join('');
}
