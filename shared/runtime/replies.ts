import { type Encoding, encode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, errorTable, refuseField } from '#shared/protocol/errors.ts';
import { singleHeader } from '#shared/protocol/headers.ts';
import { replyBytesMax } from '#shared/protocol/limits.ts';
import { InvalidArgumentError, type Msg, headers, serviceInboxPrefix } from './nats.ts';

/**
 * True when a service may answer to `subject`. NATS does not check reply subjects against permissions, so a caller
 * could name a log or a fence as its reply subject and make a service write there.
 * @param inboxPrefixes further prefixes from the configuration
 */
export function isReplySubject(subject: string, inboxPrefixes: readonly string[] = []): boolean {
  if (subject.startsWith('_INBOX.') || subject.startsWith(`${serviceInboxPrefix}.`)) return true;
  return inboxPrefixes.some((prefix) => subject.startsWith(`${prefix}.`));
}

/** The encodings of one request: how its body is to be read, and how its reply is to be written. */
export interface RequestEncodings {
  readonly request: Encoding;
  readonly reply: Encoding;
}

/** Reads `Content-Type` and `Accept`; a content type that we do not speak is refused by name. */
export function requestEncodings(message: Msg): Result<RequestEncodings> {
  const { headers } = message;
  if (headers === undefined) return accept(jsonBothWays);
  const contentType = singleHeader(headers, 'Content-Type');
  if (!contentType.ok) return contentType;
  const request = encodingOf(contentType.value);
  if (request === undefined) return refuseField('Content-Type', mustBeOurs);
  const reply = replyEncoding(message, request);
  return reply.ok ? accept({ request, reply: reply.value }) : reply;
}

/** The encoding that `Accept` asks for; `otherwise` where it asks for none. */
export function replyEncoding(message: Msg, otherwise: Encoding): Result<Encoding> {
  const wanted = singleHeader(message.headers, 'Accept');
  if (!wanted.ok) return wanted;
  const reply = wanted.value === '' || wanted.value === '*/*' ? otherwise : encodingOf(wanted.value);
  return reply === undefined ? refuseField('Accept', mustBeOurs) : accept(reply);
}

const jsonBothWays: RequestEncodings = { request: json, reply: json };
const mustBeOurs = 'must be application/json or application/msgpack';

/** The body of an error reply. */
export const errorBody = (refusal: Refusal) => ({ error: refusal });

/** Answers with a value, in the encoding asked for. Silent when the caller named no inbox. */
export function replyValue(
  message: Msg,
  value: unknown,
  encoding: Encoding,
  extra?: Readonly<Record<string, string>>,
): void {
  replyBytes(message, encode(value, encoding), encoding, extra);
}

/** Answers with a body that is encoded already. */
export function replyBytes(
  message: Msg,
  body: Uint8Array | string,
  encoding: Encoding,
  extra?: Readonly<Record<string, string>>,
): void {
  if (message.reply === undefined || !isReplySubject(message.reply)) return;
  if (body.length > replyBytesMax) {
    replyRefusal(message, tooLarge(`would pass ${replyBytesMax} bytes`), encoding);
    return;
  }
  try {
    respond(message, body, encoding, extra);
  } catch (error) {
    // A NATS that takes less than ours does (its `max_payload`): the connection does not even send it.
    if (!(error instanceof InvalidArgumentError)) throw error;
    replyRefusal(message, tooLarge('is larger than this NATS takes (its max_payload)'), encoding);
  }
}

function respond(
  message: Msg,
  body: Uint8Array | string,
  encoding: Encoding,
  extra: Readonly<Record<string, string>> | undefined,
): void {
  if (encoding === json && extra === undefined) {
    message.respond(body);
    return;
  }
  const made = headers();
  if (encoding !== json) made.set('Content-Type', encoding);
  for (const [name, value] of Object.entries(extra ?? {})) made.set(name, value);
  message.respond(body, { headers: made });
}

const tooLarge = (what: string): Refusal => ({ code: 'payload_too_large', message: `the reply ${what}` });

/** Answers with a refusal: coded headers, and the same in the body. */
export function replyRefusal(message: Msg, refusal: Refusal, encoding: Encoding = json): void {
  if (message.reply === undefined || !isReplySubject(message.reply)) return;
  const made = headers();
  made.set('Nats-Service-Error-Code', String(errorTable[refusal.code].status));
  made.set('Nats-Service-Error', headerText(`${refusal.code}: ${refusal.message}`));
  if (encoding !== json) made.set('Content-Type', encoding);
  message.respond(encode(errorBody(refusal), encoding), { headers: made });
}

/** A header's value is one line of printable ASCII: what a caller sent may hold anything. */
const headerText = (value: string): string => value.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 1_024);
