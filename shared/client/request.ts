import { decode, encode, encodingOf, json, type Encoding } from '#shared/protocol/encoding.ts';
import {
  type Refusal,
  type Result,
  accept,
  isErrorCode,
  refuse,
  refuseField,
} from '#shared/protocol/errors.ts';
import { isName } from '#shared/protocol/names.ts';
import { type Msg, type Nats, headersOf } from '#shared/runtime/nats.ts';

export interface RequestOptions {
  /** How long to wait for the reply, in milliseconds. Default 10 s. */
  readonly timeoutMs?: number;
  readonly encoding?: Encoding;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/**
 * One request over NATS, and its reply decoded.
 * A coded error of the other side, no answer in time (`timeout`), nobody there (`unavailable`) and a reply that cannot
 * be read (`internal`) come back as refusals; never throws.
 * @param body a value to encode; bytes are sent as they are
 */
export async function requestReply(
  nats: Nats,
  subject: string,
  body: unknown,
  options: RequestOptions = {},
): Promise<Result<unknown>> {
  const reply = await requestMessage(nats, subject, body, options);
  return reply.ok ? readReply(reply.value) : reply;
}

/** As `requestReply`, but a good reply comes as the message that it was: for whoever passes it on. */
export async function requestMessage(
  nats: Nats,
  subject: string,
  body: unknown,
  options: RequestOptions = {},
): Promise<Result<Msg>> {
  const encoding = options.encoding ?? json;
  let sent: Uint8Array;
  try {
    sent = body instanceof Uint8Array ? body : encode(body, encoding);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return refuseField('body', `cannot be encoded: ${reason}`);
  }
  const headers = headersOf({
    'Content-Type': encoding === json || body instanceof Uint8Array ? undefined : encoding,
    ...options.headers,
  });
  let reply: Msg;
  try {
    reply = await nats.connection.request(subject, sent, {
      timeout: options.timeoutMs ?? 10_000,
      ...(headers === undefined ? {} : { headers }),
    });
  } catch (error) {
    return tooLargeFor(nats, { subject, bytes: sent.length }, error) ?? unanswered(subject, error);
  }
  return isRefusal(reply) ? (readReply(reply) as Result<Msg>) : accept(reply);
}

const isRefusal = (reply: Msg): boolean => {
  const failed = reply.headers?.get('Nats-Service-Error-Code');
  return failed !== undefined && failed !== '';
};

/**
 * The value of a reply, or the refusal that it carries.
 * @param read how its body is read: `decodeExactly` where the value is only passed on
 */
export function readReply(reply: Msg, read = decode): Result<unknown> {
  const encoding = encodingOf(reply.headers?.get('Content-Type')) ?? json;
  const decoded = read(reply.data, encoding);
  if (!isRefusal(reply)) {
    return decoded.ok ? decoded : refuse('internal', `the reply cannot be read: ${decoded.error.message}`);
  }
  const body = decoded.ok ? (decoded.value as { error?: Refusal } | undefined) : undefined;
  if (body?.error !== undefined && isErrorCode(body.error.code)) return { ok: false, error: body.error };
  return refuse('internal', reply.headers?.get('Nats-Service-Error') ?? 'an error without a text');
}

/** What this NATS does not take at all: trying again would not help. The library refuses it before it is sent. */
function tooLargeFor(
  nats: Nats,
  { subject, bytes }: { readonly subject: string; readonly bytes: number },
  error: unknown,
): Result<never> | undefined {
  if (!(error instanceof Error) || !error.message.includes('max_payload')) return undefined;
  const limit = nats.connection.info?.max_payload ?? 0;
  return refuse(
    'payload_too_large',
    `the message has ${bytes} bytes, this NATS takes at most ${limit} (its max_payload)`,
    { field: subject.split('.').at(-3) === 'cache' ? 'value' : 'payload', bytes, limit },
  );
}

function unanswered(subject: string, error: unknown): Result<never> {
  const name = error instanceof Error ? error.name : '';
  const text = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.name : '';
  const isForbidden = cause === 'PermissionViolationError';
  // An empty name makes a subject that no permission covers.
  const isUnasked = text.includes('illegal subject') || text.includes('no responders') || isForbidden;
  const badName = isUnasked ? refuseBadName(subject) : undefined;
  if (badName !== undefined) return badName;
  // Something else with a blank or a dot too many: the library refuses it before anybody is asked.
  if (text.includes('illegal subject'))
    return refuse('invalid_request', `${subject} is not a subject: look at the name in it`);
  if (name === 'TimeoutError' || text.includes('timeout'))
    return refuse('timeout', `no reply on ${subject} in time`);
  if (name === 'NoRespondersError' || text.includes('no responders')) {
    return refuse('unavailable', `nobody answers on ${subject}: is Trivet running on this NATS?`, {
      noResponders: true,
    });
  }
  if (isForbidden) return refuse('forbidden', text);
  return refuse('unavailable', text);
}

/** Of what nobody listens to: whether it is so since the queue or the namespace in it is no name. */
function refuseBadName(subject: string): Result<never> | undefined {
  const [, kind, name = ''] = /\.(queue|cache)\.(.*)\.[a-z-]+$/s.exec(subject) ?? [];
  if (kind === undefined || isName(name)) return undefined;
  const shown = name.length > nameShownMax ? `${name.slice(0, nameShownMax)}…` : name;
  const problem = `must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -, not ${JSON.stringify(shown)}`;
  return refuseField(kind === 'queue' ? 'queue' : 'namespace', problem);
}
const nameShownMax = 80;
