import { decode, json } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { parseExactly } from '#shared/protocol/exact-json.ts';
import { type RequestOptions, requestMessage } from '#shared/client/request.ts';
import type { Msg, Nats } from '#shared/runtime/nats.ts';
import type { Answer } from './endpoint.ts';

/** The header with which a service says that memory stands in for a backend that is down. */
const degraded = 'Trivet-Degraded';

/** Asks a service; its reply is the answer, byte by byte, as long as it is JSON. */
export async function ask(
  nats: Nats,
  subject: string,
  body: unknown,
  options: RequestOptions = {},
): Promise<Result<Answer>> {
  const reply = await requestMessage(nats, subject, body, options);
  if (!reply.ok) return reply;
  const { data } = reply.value;
  const read = decode(data, json);
  if (!read.ok) return refuse('internal', `the reply cannot be read: ${read.error.message}`);
  return accept({ status: 200, json: data, ...saidHeaders(reply.value) });
}

/** What a reply's headers say to the caller, too. */
export function saidHeaders({ headers }: Msg): Pick<Answer, 'headers'> {
  const value = headers?.get(degraded);
  return value === undefined || value === '' ? {} : { headers: { [degraded]: value } };
}

/** A reply that is an answer of ours, decoded: for whoever has to look into it. */
export const valueOf = (answer: Answer): unknown => JSON.parse(textOf(answer)) as unknown;

/** The same, to be passed on: a number that JavaScript cannot hold is written again as it was. */
export const exactValueOf = (answer: Answer): unknown => parseExactly(textOf(answer));

const textOf = ({ json: written = 'null' }: Answer): string =>
  typeof written === 'string' ? written : Buffer.from(written).toString();

/** A JSON object that is written already, and one more member in front of the others. */
export function withMember(object: Uint8Array, name: string, value: string | number | boolean): Uint8Array {
  const text = Buffer.from(object).toString();
  const rest = text.slice(text.indexOf('{') + 1);
  const comma = rest.trimStart().startsWith('}') ? '' : ',';
  return Buffer.from(`{${JSON.stringify(name)}:${JSON.stringify(value)}${comma}${rest}`);
}
