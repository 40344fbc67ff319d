import { createHash, timingSafeEqual } from 'node:crypto';
import { type Principal, localAdmin } from './core/principal.ts';

/** Who sent the request, by its `Authorization` header; undefined when it proves nobody. */
export type Authenticate = (authorization: string | undefined) => Principal | undefined;

const bearerExpression = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/**
 * Knows the local token alone.
 * Digests are compared, in constant time: so neither the token's length nor its beginning shows in how long it takes.
 */
export function tokenAuthentication(token: string): Authenticate {
  const expected = digest(token);
  return (authorization) => {
    const given = bearerExpression.exec(authorization ?? '')?.[1];
    if (given === undefined) return undefined;
    return timingSafeEqual(digest(given), expected) ? localAdmin : undefined;
  };
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
