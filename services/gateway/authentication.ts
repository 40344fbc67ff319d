import { randomBytes } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { LRUCache } from 'lru-cache';
import { apiKeyId, apiKeyPrincipalId, apiKeyText, nameId } from '#shared/protocol/credentials.ts';
import { Grant, type Grant as GrantType, PrincipalName, roles } from '#shared/protocol/identity-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type TokenRecord, tokenState } from './core/credential-records.ts';
import { type Principal, isReservedName, localAdmin } from './core/principal.ts';
import { isSameSecret, sha256Hex } from './digest.ts';
import type { JwtOutcome, VerifyJwt } from './jwt-verifier.ts';

/** What a credential proves. */
export type Authentication =
  | {
      readonly kind: 'somebody';
      readonly principal: Principal;
      /** When what it proves ends, in epoch milliseconds; undefined for never. */
      readonly untilMs?: number;
    }
  | { readonly kind: 'nobody'; readonly why: string }
  /** Nobody can tell now: the keys of the issuer cannot be had. */
  | { readonly kind: 'unavailable'; readonly why: string };

/** Who holds this credential. `from` is where it was shown, for the note of its last use. */
export type Authenticate = (credential: string, from: string) => Authentication | Promise<Authentication>;

/** What is known of API keys and revoked subjects. */
export interface KnownCredentials {
  token(id: string): TokenRecord | undefined;
  revokedBeforeMs(principalId: string): number;
  noteUse(id: string, from: string): void;
}

export interface AuthenticationOptions {
  readonly clock: Clock;
  /** The local admin's; undefined where there is none. */
  readonly localToken: string | undefined;
  readonly credentials: KnownCredentials;
  readonly verifyJwt: VerifyJwt | undefined;
  readonly clockSkewMs: number;
  /** The claim of a JWT that holds its grants. */
  readonly grantsClaim: string;
}

/** Longer ones are refused unread, in characters. Headers have 16 KiB in all. */
const credentialLengthMax = 12_288;
/** A JWT that was checked is not checked again for this long: a withdrawn key is out within it. */
const jwtMemoryMs = 30_000;
const jwtsRememberedMax = 10_000;

const nobody = (why: string): Authentication => ({ kind: 'nobody', why });

/** Local token, API keys and JWTs, in this order; each has a form of its own. */
export function authentication(options: AuthenticationOptions): Authenticate {
  const expected = options.localToken === undefined ? undefined : sha256Hex(options.localToken);
  const jwts = jwtAuthentication(options);
  return (credential, from) => {
    if (credential.length > credentialLengthMax) return nobody('the credential is too long');
    const id = apiKeyId(credential);
    if (id !== undefined) return apiKey(options, id, credential, from);
    if (expected !== undefined && isSameSecret(credential, expected))
      return { kind: 'somebody', principal: localAdmin };
    if (credential.split('.').length !== 3) return nobody('the token is not known');
    return jwts === undefined ? nobody('JWTs are not taken here') : jwts(credential);
  };
}

function apiKey(
  { credentials, clock }: AuthenticationOptions,
  id: string,
  credential: string,
  from: string,
): Authentication {
  const record = credentials.token(id);
  // Compared in either case: whether an id exists must not show in the time that it takes.
  const same = isSameSecret(credential, record?.sha256 ?? nobodysSha256);
  if (record === undefined || !same) return nobody('the token is not known');
  const state = tokenState(record, clock.nowMs());
  if (state !== 'active') return nobody(`token ${id} is ${state}`);
  credentials.noteUse(id, from);
  return {
    kind: 'somebody',
    principal: keyPrincipal(record),
    ...(record.expiresAtMs === undefined ? {} : { untilMs: record.expiresAtMs }),
  };
}

const nobodysSha256 = '0'.repeat(64);

export const keyPrincipal = (record: TokenRecord): Principal => ({
  name: record.name,
  id: apiKeyPrincipalId(record.id),
  ownNamespace: nameId(record.name, sha256Hex),
  grants: record.grants,
});

interface Remembered {
  readonly outcome: JwtOutcome;
}

function jwtAuthentication(
  options: AuthenticationOptions,
): ((token: string) => Authentication | Promise<Authentication>) | undefined {
  const { verifyJwt, clock } = options;
  if (verifyJwt === undefined) return undefined;
  const remembered = new LRUCache<string, Remembered>({
    max: jwtsRememberedMax,
    ttl: jwtMemoryMs,
    perf: { now: () => clock.monotonicMs() },
  });
  return (token) => {
    // By its digest: the memory of the process is no place for other people's tokens.
    const key = sha256Hex(token);
    const known = remembered.get(key);
    if (known !== undefined) return judged(known.outcome, options);
    return verifyJwt(token).then((outcome) => {
      if (outcome.kind === 'good') remembered.set(key, { outcome });
      return judged(outcome, options);
    });
  };
}

function judged(outcome: JwtOutcome, options: AuthenticationOptions): Authentication {
  if (outcome.kind === 'refused') return nobody(outcome.why);
  if (outcome.kind === 'unavailable') return outcome;
  const { payload } = outcome;
  const subject = checkName(payload.sub);
  if (!subject.ok || isReservedName(subject.value))
    return nobody("the JWT's sub is no name that can be used here");
  const id = nameId(subject.value, sha256Hex);
  const untilMs = (payload.exp ?? 0) * 1_000;
  // One that is remembered may have expired meanwhile.
  if (untilMs + options.clockSkewMs <= options.clock.nowMs()) return nobody('the JWT has expired');
  if ((payload.iat ?? 0) * 1_000 < options.credentials.revokedBeforeMs(id))
    return nobody(`tokens of ${subject.value} that are as old as this one were revoked`);
  const principal = {
    name: subject.value,
    id,
    ownNamespace: id,
    grants: grantsOf(payload, options.grantsClaim),
  };
  return { kind: 'somebody', principal, untilMs };
}

const checkName = validator(PrincipalName);
const checkGrant = validator(Grant);
const isRole = (word: unknown): word is GrantType['role'] => roles.some((role) => role === word);

/** The grants of a JWT: roles by name, or grants. What is neither (roles of other programs, a later form) gives nothing. */
function grantsOf(payload: JWTPayload, claim: string): readonly GrantType[] {
  const given: unknown = payload[claim];
  if (!Array.isArray(given)) return [];
  return given.slice(0, grantsMax).flatMap((one: unknown): GrantType[] => {
    if (isRole(one)) return [{ role: one }];
    const checked = checkGrant(one);
    return checked.ok ? [checked.value] : [];
  });
}
const grantsMax = 64;

const bearerExpression = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** The credential of an `Authorization` header, or undefined where it has none of this form. */
export const bearerToken = (authorization: string | undefined): string | undefined =>
  bearerExpression.exec(authorization ?? '')?.[1];

/** A new API key: what is shown once, and what is kept. */
export function newApiKey(): { readonly id: string; readonly token: string; readonly sha256: string } {
  const id = randomBytes(8).toString('hex');
  const token = apiKeyText(id, randomBytes(32).toString('base64url'));
  return { id, token, sha256: sha256Hex(token) };
}
