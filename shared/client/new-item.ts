import { jsonText } from '#shared/protocol/encoding.ts';
import { type Refusal, TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import { headerName } from '#shared/protocol/headers.ts';
import { payloadBytesLimit } from '#shared/protocol/limits.ts';
import { optionHeaders } from '#shared/protocol/queue-words.ts';
import type { EnqueueOptions } from '#shared/protocol/queue-schemas.ts';
import type { OrLeftOut } from './left-out.ts';

/** What `add` takes beside the payload. A time may be a `Date`, which travels as JSON has it. */
export type AddOptions = OrLeftOut<Omit<EnqueueOptions, 'runAt'> & { runAt?: Moment }>;

/** RFC 3339, epoch milliseconds, or a date. */
export type Moment = NonNullable<EnqueueOptions['runAt']> | Date;

/** An item on its way out, as middleware sees it: both parts may be replaced before `next`. */
export interface NewItem {
  readonly queue: string;
  payload: unknown;
  options: AddOptions;
}

/** An item of `enqueue-many`, as JSON text. Throws a `TrivetError` for a payload that cannot be sent. */
export function itemText({ payload, options }: NewItem): string {
  const text = payloadText(payload);
  if (text.length > payloadBytesLimit / 3 && Buffer.byteLength(text) > payloadBytesLimit) throw tooLarge();
  const rest = isEmpty(options) ? '{}' : optionsText(options);
  return rest === '{}' ? `{"payload":${text}}` : `{"payload":${text},${rest.slice(1)}`;
}

/** What was refused of bytes, by the option that was given and not by the header that it became. */
export function withOptionName(refusal: Refusal): Refusal {
  const field = String(refusal.details?.['field'] ?? '');
  const option = Object.entries(optionHeaders).find(([, header]) => header === field)?.[0];
  if (option === undefined) return refusal;
  const message = refusal.message.startsWith(field)
    ? option + refusal.message.slice(field.length)
    : refusal.message;
  return { ...refusal, message, details: { ...refusal.details, field: option } };
}

/** The headers of an `enqueue` whose body is bytes. */
export function bytesHeaders(payload: Uint8Array, options: AddOptions): Record<string, string> {
  if (payload.byteLength > payloadBytesLimit) throw tooLarge();
  requireOptions(options);
  const { headers: own = {}, ...others } = options;
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(own)) {
    const canonical = headerName(name);
    if (canonical.startsWith('Trivet-') || canonical === 'Nats-Msg-Id' || canonical === 'Content-Type')
      throw refused(`headers.${name}`, 'is a name that is not yours to use');
    if (!headerNamePattern.test(name))
      throw refused(
        `headers.${name}`,
        'goes along with bytes as a header of NATS: ASCII without blanks and :',
      );
    headers[name] = asHeader(`headers.${name}`, value);
  }
  headers['Content-Type'] = 'application/octet-stream';
  for (const [option, given] of Object.entries(others)) {
    if (given === undefined) continue;
    const header = optionHeaders[option as keyof typeof optionHeaders] as string | undefined;
    if (header === undefined) throw refused(option, 'is not a known field');
    // As JSON has it, which every other payload's options go through.
    const value: unknown = given instanceof Date ? given.toJSON() : given;
    // To the broker a header without a text is one that is not there: a key would be none.
    if (value === '') throw refused(option, 'must not be empty');
    headers[header] = asHeader(option, typeof value === 'number' ? String(value) : value);
  }
  return headers;
}

const headerNamePattern = /^[!-9;-~]+$/;

/** A header cannot say everything that JSON can, and what NATS would change on the way is refused here. */
function asHeader(field: string, value: unknown): string {
  if (typeof value !== 'string') throw refused(field, 'must be text');
  // Two keys that differ in half of a surrogate pair would be one.
  if (!value.isWellFormed()) throw refused(field, 'must be well-formed Unicode');
  if (/[\r\n\0]/.test(value) || value.trim() !== value)
    throw refused(field, 'must have no line break and no NUL, and no blank around it, beside bytes');
  return value;
}

const refused = (field: string, problem: string) => new TrivetError(refuseField(field, problem).error);

function payloadText(payload: unknown): string {
  if (payload === undefined || typeof payload === 'function' || typeof payload === 'symbol')
    throw new TrivetError(
      refuseField('payload', `must be a JSON value or bytes, not ${typeof payload}: null stands for nothing`)
        .error,
    );
  // JSON makes an empty object of the one, and an object with a member a number of the other.
  if (payload instanceof ArrayBuffer || ArrayBuffer.isView(payload))
    throw refused('payload', 'must be a Uint8Array where it is bytes');
  try {
    const text = (isFlat(payload) ? JSON.stringify(payload) : jsonText(payload)) as string | undefined;
    if (text !== undefined) return text;
  } catch (error) {
    const { error: refusal } = refuseField(
      'payload',
      'cannot be written as JSON: it has a cycle, or is nested too deeply',
    );
    throw new TrivetError(refusal, { cause: error });
  }
  throw refused('payload', 'must be a JSON value or bytes: its toJSON gives nothing');
}

/**
 * Only texts, numbers and the like, one level deep, as most payloads are: JSON.stringify writes them twice as fast
 * where it need not ask about bytes and big integers.
 */
function isFlat(payload: unknown): payload is object {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return false;
  let isBare = true;
  // Inherited members are looked at, too: `toJSON` is one.
  for (const name in payload) {
    isBare = false;
    const value: unknown = payload[name as keyof object];
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return false;
  }
  // A map or a set has no members of this kind, but is not empty.
  return !('toJSON' in payload) && !(isBare && (payload instanceof Map || payload instanceof Set));
}

/** What is no object with options would spoil the message, and with it what else goes out in it. */
function optionsText(options: object): string {
  requireOptions(options);
  // Of two members of this name the broker would take the last one.
  if ('payload' in options) throw refused('payload', 'is not a known field');
  try {
    const text = jsonText(options) as string | undefined;
    if (text?.startsWith('{') === true) return text;
  } catch (error) {
    throw new TrivetError(refuseField('options', 'cannot be written as JSON').error, { cause: error });
  }
  throw refused('options', optionsProblem);
}

function isEmpty(options: object | null): boolean {
  if (options !== null) requireOptions(options);
  for (const _ in options) return false;
  return true;
}

function requireOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw refused('options', optionsProblem);
}

const optionsProblem = 'must be an object such as {priority: "high"}';

const tooLarge = () =>
  new TrivetError(
    refuse('payload_too_large', `payload must be at most ${payloadBytesLimit} bytes`, { field: 'payload' })
      .error,
  );
