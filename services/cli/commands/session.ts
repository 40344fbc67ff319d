import type { Command } from 'commander';
import { type Trivet, connect } from '#shared/client/client.ts';
import { requestReply } from '#shared/client/request.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';

interface GlobalOptions {
  readonly nats?: string;
  readonly token?: string;
  readonly prefix?: string;
}

/** Connects as the global options say, does one thing, and closes. */
export async function inSession(command: Command, act: (trivet: Trivet) => Promise<void>): Promise<void> {
  const { nats, token, prefix } = command.optsWithGlobals<GlobalOptions>();
  const url = nats ?? process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222';
  const trivet = await connect({
    url,
    name: 'trivet-cli',
    ...(token === undefined ? {} : { token }),
    ...(prefix === undefined ? {} : { prefix }),
  }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`no NATS at ${url} (${reason}): start one with npm start, or name it with --nats`);
  });
  try {
    await act(trivet);
  } finally {
    await trivet.close();
  }
}

/** One request; its reply, or the refusal thrown. */
export async function ask(
  trivet: Trivet,
  subject: string,
  body: unknown,
  options: Parameters<typeof requestReply>[3] = {},
): Promise<unknown> {
  const reply = await requestReply(trivet.nats, subject, body, options);
  if (!reply.ok) throw new TrivetError(reply.error);
  return reply.value;
}

/** Prints a reply: JSON that people can read on a terminal, one line a value in a pipe. */
export function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined)}\n`);
}

/** JSON from the command line; a bad one names the argument. */
export function parseJson(text: string, argument: string): unknown {
  try {
    return JSON.parse(text) as unknown;
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
