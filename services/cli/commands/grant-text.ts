import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { type Grant, Grant as GrantSchema } from '#shared/protocol/identity-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';

const checkGrant = validator(GrantSchema);

/** `producer:queues=emails,sms*:own` as a grant; a bad one names the option. */
export function parseGrant(text: string): Grant {
  const [role = '', ...parts] = text.split(':');
  const fields = parts.map((part): [string, unknown] => {
    const [name = '', list] = part.split('=', 2);
    return [name, list === undefined ? true : list.split(',').filter((one) => one !== '')];
  });
  const checked = checkGrant({ role, ...Object.fromEntries(fields) });
  if (checked.ok) return checked.value;
  throw new TrivetError(
    refuseField('--grant', `${text} cannot be understood: ${checked.error.message}`).error,
  );
}
