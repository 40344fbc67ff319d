import type { ReadyCluster } from '#services/cli/ready-screen.ts';

export interface HttpAnswer {
  readonly status: number;
  /** Parsed JSON; undefined where the answer has no body. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

/** Asks a gateway as a user's program would: a POST where there is a body, else a GET. */
export async function call(
  { http, token }: Pick<ReadyCluster, 'http' | 'token'>,
  path: string,
  body?: unknown,
): Promise<HttpAnswer> {
  const response = await fetch(`${http}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : (JSON.parse(text) as object as never) };
}

export interface LeasedItem {
  readonly id: string;
  readonly token: number;
  readonly attempt: number;
  readonly payload: unknown;
}

/** The items of an answer to a dequeue; none where it was 204. */
export function itemsOf({ body }: HttpAnswer): readonly LeasedItem[] {
  return (body?.['items'] ?? []) as readonly LeasedItem[];
}
