import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import { apiKeyId, apiKeyPrincipalId, localAdminId, nameId } from '#shared/protocol/credentials.ts';
import type { Nats } from '#shared/runtime/nats.ts';

const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Who a token stands for, as Trivet's auth callout will name it: the client's inboxes begin with it, and nobody else may
 * listen there. Nothing is proved by this: nats-server decides.
 */
export function tokenPrincipal(token: string): string {
  const id = apiKeyId(token);
  if (id !== undefined) return apiKeyPrincipalId(id);
  if (token.split('.').length !== 3) return localAdminId;
  try {
    const { sub } = decodeJwt(token);
    return sub === undefined ? localAdminId : nameId(sub, sha256Hex);
  } catch {
    return localAdminId;
  }
}

const userInfoMs = 2_000;

/** Whether this connection is that principal's by the word of the auth callout, and not of a NATS with tokens of its own. */
export async function isPinned(nats: Pick<Nats, 'connection'>, principalId: string): Promise<boolean> {
  try {
    const reply = await nats.connection.request('$SYS.REQ.USER.INFO', '', { timeout: userInfoMs });
    return reply.json<{ data?: { user?: string } }>().data?.user === principalId;
  } catch {
    return false;
  }
}
