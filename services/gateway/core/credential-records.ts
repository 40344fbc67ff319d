import { apiKeyPrincipalId } from '#shared/protocol/credentials.ts';
import type { Grant, TokenView } from '#shared/protocol/identity-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';

/** An API key as it is kept: its secret is not. */
export interface TokenRecord {
  readonly kind: 'token';
  readonly id: string;
  /** The principal that it stands for; several keys may stand for one. */
  readonly name: string;
  /** Of the whole text of the key, in hex. 256 random bits need no salt and no slow hash. */
  readonly sha256: string;
  readonly grants: readonly Grant[];
  readonly createdAtMs: number;
  readonly createdBy: string;
  readonly expiresAtMs?: number;
  readonly revokedAtMs?: number;
  readonly replacedBy?: string;
}

/** No JWT of this subject is good that was issued before. */
export interface SubjectRecord {
  readonly kind: 'subject';
  readonly subject: string;
  readonly revokedBeforeMs: number;
}

export type CredentialRecord = TokenRecord | SubjectRecord;

export interface LastUse {
  readonly atMs: number;
  readonly from: string;
}

export type TokenState = 'active' | 'expired' | 'revoked';

export function tokenState(record: TokenRecord, nowMs: number): TokenState {
  if (record.revokedAtMs !== undefined) return 'revoked';
  return record.expiresAtMs !== undefined && record.expiresAtMs <= nowMs ? 'expired' : 'active';
}

/** A record as people may see it. */
export function tokenView(record: TokenRecord, nowMs: number, used?: LastUse): TokenView {
  const time = (name: string, ms: number | undefined) => (ms === undefined ? {} : { [name]: formatTime(ms) });
  return {
    id: record.id,
    name: record.name,
    grants: [...record.grants],
    state: tokenState(record, nowMs),
    createdAt: formatTime(record.createdAtMs),
    createdBy: record.createdBy,
    ...time('expiresAt', record.expiresAtMs),
    ...time('revokedAt', record.revokedAtMs),
    ...(used === undefined ? {} : { lastUsedAt: formatTime(used.atMs), lastUsedFrom: used.from }),
    ...(record.replacedBy === undefined ? {} : { replacedBy: record.replacedBy }),
  };
}

/**
 * Whether a NATS connection of this principal must end: its API key is revoked, expired or unknown.
 * @param principalId as the auth callout named it
 */
export function isEnded(
  principalId: string,
  find: (tokenId: string) => TokenRecord | undefined,
  nowMs: number,
): boolean {
  if (!principalId.startsWith(apiKeyPrincipalId(''))) return false;
  const record = find(principalId.slice(2));
  return record === undefined || tokenState(record, nowMs) !== 'active';
}
