import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { TrivetError, isErrorCode } from '#shared/protocol/errors.ts';
import { environmentOr } from '#shared/runtime/environment.ts';

interface GlobalOptions {
  readonly http?: string;
  readonly token?: string;
}

/** One request to the gateway; its answer, or the refusal thrown. */
export type AskGateway = (method: string, path: string, body?: unknown) => Promise<unknown>;

/**
 * What asks the gateway as the options say: `--http`, TRIVET_HTTP_URL, then the local one; `--token`, TRIVET_TOKEN, then
 * the local admin's, which `npm start` keeps in its data folder for who may read it.
 */
export async function gatewayOf(command: Command): Promise<AskGateway> {
  const { http, token } = command.optsWithGlobals<GlobalOptions>();
  const url = http ?? environmentOr('TRIVET_HTTP_URL', 'http://127.0.0.1:8420');
  const said = process.env['TRIVET_TOKEN'] ?? '';
  const bearer = token ?? (said === '' ? await localToken() : said);
  if (bearer === undefined)
    throw new Error(
      'no token: give --token or TRIVET_TOKEN, or run this where .trivet/token is (or with the TRIVET_DATA of npm start)',
    );
  return async (method, path, body) => {
    const response = await fetch(new URL(path, url), {
      method,
      headers: {
        authorization: `Bearer ${bearer}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      const reason =
        error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw new Error(`no gateway at ${url} (${reason}): name it with --http`);
    });
    const answer: unknown = await response.json().catch(() => undefined);
    if (response.ok) return answer;
    const problem = (answer ?? {}) as { readonly code?: string; readonly detail?: string };
    const { code = '' } = problem;
    throw new TrivetError({
      code: isErrorCode(code) ? code : 'internal',
      message: problem.detail ?? `the gateway answered ${response.status}`,
    });
  };
}

/** The local admin's token, where `npm start` has left it for who may read it. */
export async function localToken(): Promise<string | undefined> {
  const file = join(environmentOr('TRIVET_DATA', '.trivet'), 'token');
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trim() === '' ? undefined : text.trim();
}
