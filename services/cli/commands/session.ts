import type { Command } from 'commander';
import { type Trivet, connect } from '#shared/client/client.ts';
import { type RequestOptions, readReply, requestMessage } from '#shared/client/request.ts';
import { decodeExactly } from '#shared/protocol/encoding.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { parseExactly } from '#shared/protocol/exact-json.ts';
import { environmentOr } from '#shared/runtime/environment.ts';
import { readServerInfo } from '#shared/runtime/server-info.ts';
import { localToken } from './gateway-session.ts';

interface GlobalOptions {
  readonly nats?: string;
  readonly token?: string;
  readonly subjectPrefix?: string;
}

/** Connects as the global options say, does one thing, and closes. */
export async function inSession(command: Command, act: (trivet: Trivet) => Promise<void>): Promise<void> {
  const { nats, token: given, subjectPrefix: prefix } = command.optsWithGlobals<GlobalOptions>();
  const url = nats ?? environmentOr('NATS_URL', 'nats://127.0.0.1:4222');
  const tokens = given === undefined ? await tokensFor(url) : [given];
  const trivet = await connectWithOne(url, tokens, prefix).catch((error: unknown) => {
    throw withWayOut(
      error,
      tokens.some((token) => token !== undefined),
    );
  });
  try {
    await act(trivet);
  } finally {
    await trivet.close();
  }
}

/** With the first of these tokens that this NATS does not refuse; undefined is none at all. */
async function connectWithOne(
  url: string,
  [token, ...others]: readonly (string | undefined)[],
  prefix: string | undefined,
): Promise<Trivet> {
  try {
    return await connect({
      url,
      name: 'trivet-cli',
      ...(token === undefined ? {} : { token }),
      ...(prefix === undefined ? {} : { prefix }),
    });
  } catch (error) {
    const isRefused = error instanceof TrivetError && error.code === 'unauthorized';
    if (!isRefused || others.length === 0) throw error;
    return connectWithOne(url, others, prefix);
  }
}

/**
 * What to try where no token was given: TRIVET_TOKEN, none (a NATS that lets everybody in refuses who shows a token that
 * it does not know, and logs it), and the local admin's, which goes to this machine alone.
 */
async function tokensFor(url: string): Promise<readonly (string | undefined)[]> {
  const said = process.env['TRIVET_TOKEN'] ?? '';
  if (said !== '') return (await asksWho(url)) ? [said, undefined] : [undefined, said];
  const isLocal = /^([a-z]+:\/\/)?(127\.0\.0\.1|localhost|\[::1\])(:\d+)?\/?$/.test(url);
  const local = isLocal ? await localToken() : undefined;
  return local === undefined ? [undefined] : [undefined, local];
}

/** Where it does not say so at once it is left to the connection to find out. */
async function asksWho(url: string): Promise<boolean> {
  try {
    return (await readServerInfo(url.split(',')[0] ?? url)).asksWho;
  } catch {
    return true;
  }
}

function withWayOut(error: unknown, withToken: boolean): Error {
  if (!(error instanceof TrivetError)) return error instanceof Error ? error : new Error(String(error));
  if (error.code === 'unavailable')
    return new Error(`${bare(error)} Start one with npm start, or name it with --nats.`);
  if (error.code !== 'unauthorized') return error;
  const wayOut = withToken
    ? 'the token of --token, TRIVET_TOKEN or .trivet/token is not one of its'
    : 'name one with --token or TRIVET_TOKEN';
  return new Error(`${bare(error)}; ${wayOut}`);
}

/** Its message without the code. */
const bare = ({ code, message }: TrivetError): string => message.slice(`${code}: `.length);

/** One request; its reply, with every digit of its numbers, or the refusal thrown. */
export async function ask(
  trivet: Trivet,
  subject: string,
  body: unknown,
  options: RequestOptions = {},
): Promise<unknown> {
  const reply = await requestMessage(trivet.nats, subject, body, options);
  if (!reply.ok) throw new TrivetError(reply.error);
  const read = readReply(reply.value, decodeExactly);
  if (!read.ok) throw new TrivetError(read.error);
  return read.value;
}

/** Prints a reply: JSON that people can read on a terminal, one line a value in a pipe. */
export function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined)}\n`);
}

/** Asks a queue for one operation, and prints what it answers. */
export const printReply = (
  command: Command,
  queue: string,
  operation: string,
  body: unknown,
  options?: RequestOptions,
): Promise<void> =>
  inSession(command, async (trivet) =>
    print(await ask(trivet, trivet.subjects.queue(queue, operation), body, options)),
  );

/** JSON from the command line, to be passed on as it is written; a bad one names the argument. */
export function parseJson(text: string, argument: string): unknown {
  try {
    return parseExactly(text);
  } catch {
    throw new TrivetError(
      refuseField(argument, `is not JSON: ${text} (a string needs its quotes: '"text"')`).error,
    );
  }
}

/** A whole number from the command line. */
export function parseInteger(text: string, argument: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw new TrivetError(refuseField(argument, `must be a whole number, not ${text}`).error);
}

/** Leaves out what was not given. */
export const given = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** Of a command for one item or for many: `id` is the one, `others` say which many. */
export function requireOne(id: string | undefined, others: Readonly<Record<string, unknown>>): void {
  const isMany = Object.values(others).some((value) => value !== undefined);
  if ((id === undefined) === isMany) return;
  const names = Object.keys(others).join(' or ');
  const problem = isMany ? `must not be given beside ${names}` : `or ${names} must be given`;
  throw new TrivetError(refuseField('id', problem).error);
}
