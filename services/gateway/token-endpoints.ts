import type { Static } from 'typebox';
import { durationMs } from '#shared/protocol/durations.ts';
import { nameId } from '#shared/protocol/credentials.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { Strict } from '#shared/protocol/fields.ts';
import {
  CreateToken,
  RevokeSubject,
  RotateToken,
  SubjectRevoked,
  TokenCreated,
  TokenId,
  TokenList,
  TokenView,
} from '#shared/protocol/identity-schemas.ts';
import { delayMsMax } from '#shared/protocol/limits.ts';
import { formatTime } from '#shared/protocol/times.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { newApiKey } from './authentication.ts';
import { type TokenRecord, tokenState, tokenView } from './core/credential-records.ts';
import { type Principal, isReservedName } from './core/principal.ts';
import type { CredentialStore } from './credential-store.ts';
import { sha256Hex } from './digest.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

export interface TokenEndpointsOptions {
  readonly credentials: CredentialStore;
  readonly clock: Clock;
}

/** API keys at once, revoked ones included: all of them are in the memory of every gateway. */
const tokensMax = 10_000;

const TokenPath = Strict({ token_id: TokenId });
const cluster = () => ({ kind: 'cluster' }) as const;

export const tokenEndpoints = (options: TokenEndpointsOptions): readonly Endpoint[] => [
  createEndpoint(options),
  listEndpoint(options),
  rotateEndpoint(options),
  revokeEndpoint(options),
  revokeSubjectEndpoint(options),
];

/** A key that is not written yet, and the one answer that ever shows it. */
function newKey({
  name,
  grants,
  expires,
  by,
  nowMs,
}: Pick<TokenRecord, 'name' | 'grants'> & {
  readonly expires: string | number | undefined;
  readonly by: Principal | undefined;
  readonly nowMs: number;
}): Result<{ readonly record: TokenRecord; readonly answer: Static<typeof TokenCreated> }> {
  const expiry = expiresAt(expires, 'expires', nowMs);
  if (!expiry.ok) return expiry;
  const { id, token, sha256 } = newApiKey();
  const record: TokenRecord = {
    kind: 'token',
    id,
    name,
    sha256,
    grants,
    createdAtMs: nowMs,
    createdBy: by?.name ?? '',
    ...expiry.value,
  };
  return accept({ record, answer: { ...tokenView(record, nowMs), token } });
}

const createEndpoint = ({ credentials, clock }: TokenEndpointsOptions): Endpoint =>
  endpoint({
    method: 'POST',
    url: '/v1/tokens',
    operationId: 'createToken',
    summary: 'Create an API key; it is shown in this answer and never again',
    tag: 'gateway',
    access: { operation: 'token.create', resource: cluster },
    body: CreateToken,
    // A second one would be a key that works and that nobody knows of.
    idempotency: 'refused',
    answers: { 201: { about: 'The key, with its secret.', schema: TokenCreated } },
    refusals: ['conflict'],
    handle: async ({ body, principal }) => {
      if (credentials.tokens().length >= tokensMax)
        return refuse('conflict', `there are ${tokensMax} tokens already`);
      if (isReservedName(body.name))
        return refuseField('name', 'is one that the audit uses for those who hold no key');
      const nowMs = clock.nowMs();
      const made = newKey({ ...body, expires: body.expires, by: principal, nowMs });
      if (!made.ok) return made;
      const { record, answer } = made.value;
      await credentials.write(record);
      return accept({ status: 201, body: answer, auditItem: `${record.id} (${body.name})` });
    },
  });

const listEndpoint = ({ credentials, clock }: TokenEndpointsOptions): Endpoint =>
  endpoint({
    method: 'GET',
    url: '/v1/tokens',
    operationId: 'listTokens',
    summary: 'All API keys, without their secrets',
    tag: 'gateway',
    access: { operation: 'token.list', resource: cluster },
    answers: { 200: { about: 'Keys by name, revoked ones included.', schema: TokenList } },
    handle: async () => {
      const nowMs = clock.nowMs();
      const tokens = await Promise.all(
        credentials
          .tokens()
          .toSorted((one, other) => one.name.localeCompare(other.name) || one.createdAtMs - other.createdAtMs)
          .map(async (record) => tokenView(record, nowMs, await credentials.lastUse(record.id))),
      );
      return accept({ status: 200, body: { tokens } });
    },
  });

const rotateEndpoint = ({ credentials, clock }: TokenEndpointsOptions): Endpoint =>
  endpoint({
    method: 'POST',
    url: '/v1/tokens/:token_id/rotate',
    operationId: 'rotateToken',
    summary: 'Replace an API key by a new one with the same name and grants',
    tag: 'gateway',
    access: { operation: 'token.rotate', resource: cluster },
    path: TokenPath,
    body: RotateToken,
    bodyOptional: true,
    answers: {
      201: { about: 'The new key, with its secret. The old one ends after `overlap`.', schema: TokenCreated },
    },
    refusals: ['not_found', 'wrong_state'],
    handle: async ({ path, body, principal }) => {
      const nowMs = clock.nowMs();
      const kept = await credentials.current(path.token_id);
      if (kept === undefined) return noToken(path.token_id);
      const { record: old, revision } = kept;
      if (tokenState(old, nowMs) !== 'active' || old.replacedBy !== undefined)
        return refuse(
          'wrong_state',
          `token ${old.id} is ${old.replacedBy === undefined ? tokenState(old, nowMs) : 'replaced already'}`,
        );
      const overlap = expiresAt(body.overlap ?? 0, 'overlap', nowMs);
      if (!overlap.ok) return overlap;
      const made = newKey({ ...old, expires: body.expires, by: principal, nowMs });
      if (!made.ok) return made;
      const { record, answer } = made.value;
      const { id } = record;
      // The new one first: whatever fails between the two, one of them works.
      await credentials.write(record);
      const endsMs = Math.min(old.expiresAtMs ?? Infinity, overlap.value.expiresAtMs ?? nowMs);
      if (!(await credentials.replace({ ...old, expiresAtMs: endsMs, replacedBy: id }, revision))) {
        // Rotated or revoked by somebody else in the same moment: theirs holds, and nobody was told of this key.
        await credentials.forget(id);
        return refuse('wrong_state', `token ${old.id} was replaced or revoked meanwhile`);
      }
      return accept({
        status: 201,
        body: answer,
        auditItem: `${old.id} by ${id} (${old.name})`,
      });
    },
  });

const revokeEndpoint = ({ credentials, clock }: TokenEndpointsOptions): Endpoint =>
  endpoint({
    method: 'POST',
    url: '/v1/tokens/:token_id/revoke',
    operationId: 'revokeToken',
    summary: 'End an API key at once: over HTTP, and its NATS connections',
    tag: 'gateway',
    access: { operation: 'token.revoke', resource: cluster },
    path: TokenPath,
    answers: { 200: { about: 'It is revoked. Repeating changes nothing.', schema: TokenView } },
    refusals: ['not_found'],
    handle: async ({ path }) => {
      const nowMs = clock.nowMs();
      for (;;) {
        // As it is kept, not as it is known here: another gateway may have made or rotated it a moment ago.
        const kept = await credentials.current(path.token_id);
        // A server of NATS that lags behind may not have what is known here already: revoked it must be all the same.
        const record = kept?.record ?? credentials.token(path.token_id);
        if (record === undefined) return noToken(path.token_id);
        const revoked = record.revokedAtMs === undefined ? { ...record, revokedAtMs: nowMs } : record;
        if (kept === undefined) await credentials.write(revoked);
        else if (revoked !== record && !(await credentials.replace(revoked, kept.revision))) continue;
        return accept({
          status: 200,
          body: tokenView(revoked, nowMs),
          auditItem: `${record.id} (${record.name})`,
        });
      }
    },
  });

const revokeSubjectEndpoint = ({ credentials, clock }: TokenEndpointsOptions): Endpoint =>
  endpoint({
    method: 'POST',
    url: '/v1/tokens/revoke-subject',
    operationId: 'revokeSubject',
    summary: 'End all JWTs of a subject that were issued until now',
    tag: 'gateway',
    access: { operation: 'token.revoke', resource: cluster },
    body: RevokeSubject,
    answers: {
      200: { about: 'JWTs with an earlier `iat`, or without one, are refused.', schema: SubjectRevoked },
    },
    handle: async ({ body }) => {
      const { subject } = body;
      // `iat` counts whole seconds: one that was issued in this very second is out as well.
      const revokedBeforeMs = Math.floor(clock.nowMs() / 1_000) * 1_000 + 1;
      await credentials.writeSubject(nameId(subject, sha256Hex), {
        kind: 'subject',
        subject,
        revokedBeforeMs,
      });
      return accept({
        status: 200,
        body: { subject, revokedBefore: formatTime(revokedBeforeMs) },
        auditItem: `JWTs of ${subject}`,
      });
    },
  });

const noToken = (id: string) => refuse('not_found', `there is no token ${id}`);

function expiresAt(
  given: string | number | undefined,
  field: string,
  nowMs: number,
): Result<{ readonly expiresAtMs?: number }> {
  if (given === undefined) return accept({});
  const ms = durationMs(given);
  if (ms === 0 && field === 'expires') return refuseField(field, 'must be more than nothing');
  if (ms === undefined || ms > delayMsMax) return refuseField(field, 'must be at most ten years');
  return accept({ expiresAtMs: nowMs + ms });
}
