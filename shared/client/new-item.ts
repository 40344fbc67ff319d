import { jsonText } from '#shared/protocol/encoding.ts';
import { TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import { headerName } from '#shared/protocol/headers.ts';
import { payloadBytesLimit } from '#shared/protocol/limits.ts';
import { optionHeaders } from '#shared/protocol/queue-words.ts';
import type { EnqueueOptions } from '#shared/protocol/queue-schemas.ts';

export type AddOptions = EnqueueOptions;

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
  const rest = isEmpty(options) ? '{}' : jsonText(options);
  return rest === '{}' ? `{"payload":${text}}` : `{"payload":${text},${rest.slice(1)}`;
}

/** The headers of an `enqueue` whose body is bytes. */
export function bytesHeaders(payload: Uint8Array, options: AddOptions): Record<string, string> {
  if (payload.byteLength > payloadBytesLimit) throw tooLarge();
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
    const value: unknown = (given as unknown) instanceof Date ? (given as unknown as Date).toJSON() : given;
    headers[header] = asHeader(option, typeof value === 'number' ? String(value) : value);
  }
  return headers;
}

const headerNamePattern = /^[!-9;-~]+$/;

/** A header cannot say everything that JSON can, and what NATS would change on the way is refused here. */
function asHeader(field: string, value: unknown): string {
  if (typeof value !== 'string') throw refused(field, 'must be text');
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
  // Inherited members are looked at, too: `toJSON` is one.
  for (const name in payload) {
    const value: unknown = payload[name as keyof object];
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return false;
  }
  return !('toJSON' in payload);
}

function isEmpty(options: object): boolean {
  for (const _ in options) return false;
  return true;
}

const tooLarge = () =>
  new TrivetError(
    refuse('payload_too_large', `payload must be at most ${payloadBytesLimit} bytes`, { field: 'payload' })
      .error,
  );
