import { randomBytes } from 'node:crypto';
import { type JWTPayload, decodeJwt } from 'jose';
import { LRUCache } from 'lru-cache';
import { apiKeyId, apiKeyPrincipalId, apiKeyText, nameId } from '#shared/protocol/credentials.ts';
import { Grant, type Grant as GrantType, PrincipalName, roles } from '#shared/protocol/identity-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type TokenRecord, tokenState } from './core/credential-records.ts';
import { type Principal, isReservedName, localAdmin } from './core/principal.ts';
import { isSameSecret, sha256Hex } from './digest.ts';
import type { VerifyJwt } from './jwt-verifier.ts';

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
  const shown = new ShownKeys(options);
  const admin: Authentication = { kind: 'somebody', principal: localAdmin };
  return (credential, from) => {
    const record = shown.recordOf(credential);
    if (record === 'local') return admin;
    if (record !== undefined) return active(options, record, from);
    if (credential.length > credentialLengthMax) return nobody('the credential is too long');
    const id = apiKeyId(credential);
    if (id !== undefined) return apiKey(options, id, { credential, from, shown });
    if (expected !== undefined && isSameSecret(credential, expected)) {
      shown.note(credential, 'local');
      return admin;
    }
    if (credential.split('.').length !== 3) return nobody('the token is not known');
    return jwts === undefined ? nobody('JWTs are not taken here') : jwts(credential);
  };
}

/** A good credential that was shown is not hashed again for this long, and then no longer known. Milliseconds. */
const shownMs = 1_000;
const shownMax = 1_000;

/**
 * API keys and the local token that have just proved somebody: a caller with many requests shows the same one with each
 * of them, and a digest is a large part of what it costs to know him. Only what is the whole of a good credential is
 * found here; a map compares by a seeded hash of all of it, so that no guess learns how far it is right. What has become
 * of the key since (revoked, expired) is looked up each time.
 */
class ShownKeys {
  readonly #options: Pick<AuthenticationOptions, 'clock' | 'credentials'>;
  readonly #records = new Map<string, TokenRecord | 'local'>();

  constructor(options: Pick<AuthenticationOptions, 'clock' | 'credentials'>) {
    this.#options = options;
  }

  recordOf(credential: string): TokenRecord | 'local' | undefined {
    const record = this.#records.get(credential);
    if (record === undefined || record === 'local') return record;
    // Another record of that key: it was changed, and is proved anew.
    return this.#options.credentials.token(record.id) === record ? record : undefined;
  }

  note(credential: string, record: TokenRecord | 'local'): void {
    if (this.#records.size >= shownMax) return;
    // The memory of the process is no place for other people's tokens: a second later they are gone.
    if (this.#records.size === 0) this.#options.clock.after(shownMs, () => this.#records.clear());
    this.#records.set(credential, record);
  }
}

function apiKey(
  options: AuthenticationOptions,
  id: string,
  {
    credential,
    from,
    shown,
  }: { readonly credential: string; readonly from: string; readonly shown: ShownKeys },
): Authentication {
  const record = options.credentials.token(id);
  // Compared in either case: whether an id exists must not show in the time that it takes.
  const same = isSameSecret(credential, record?.sha256 ?? nobodysSha256);
  if (record === undefined || !same) return nobody('the token is not known');
  const proved = active(options, record, from);
  if (proved.kind === 'somebody') shown.note(credential, record);
  return proved;
}

/** Whom a key proves that was shown, for as long as it is good. */
function active(
  { credentials, clock }: AuthenticationOptions,
  record: TokenRecord,
  from: string,
): Authentication {
  const state = tokenState(record, clock.nowMs());
  if (state !== 'active') return nobody(`token ${record.id} is ${state}`);
  credentials.noteUse(record.id, from);
  return {
    kind: 'somebody',
    principal: keyPrincipal(record),
    ...(record.expiresAtMs === undefined ? {} : { untilMs: record.expiresAtMs }),
  };
}

const nobodysSha256 = '0'.repeat(64);

/** Records do not change: what is changed of a key, its revocation above all, is another record. */
const principals = new WeakMap<TokenRecord, Principal>();

export function keyPrincipal(record: TokenRecord): Principal {
  let principal = principals.get(record);
  if (principal === undefined) {
    const { name, id, grants } = record;
    principal = { name, id: apiKeyPrincipalId(id), ownNamespace: nameId(name, sha256Hex), grants };
    principals.set(record, principal);
  }
  return principal;
}

/** A JWT that is good for as long as `judged` says so. */
interface Proved {
  readonly principal: Principal;
  readonly issuedMs: number;
  readonly untilMs: number;
}

function jwtAuthentication(
  options: AuthenticationOptions,
): ((token: string) => Authentication | Promise<Authentication>) | undefined {
  const { verifyJwt, clock } = options;
  if (verifyJwt === undefined) return undefined;
  const remembered = new LRUCache<string, Proved>({
    max: jwtsRememberedMax,
    ttl: jwtMemoryMs,
    perf: { now: () => clock.monotonicMs() },
  });
  return (token) => {
    // By its digest: the memory of the process is no place for other people's tokens.
    const key = sha256Hex(token);
    const known = remembered.get(key);
    if (known !== undefined) return judged(known, options);
    return verifyJwt(token).then((outcome) => {
      if (outcome.kind === 'refused') return nobody(outcome.why);
      if (outcome.kind === 'unavailable') return ended(token, options) ?? outcome;
      const proved = provedBy(outcome.payload, options.grantsClaim);
      if (proved === undefined) return nobody("the JWT's sub is no name that can be used here");
      remembered.set(key, proved);
      return judged(proved, options);
    });
  };
}

function provedBy(payload: JWTPayload, grantsClaim: string): Proved | undefined {
  const subject = checkName(payload.sub);
  if (!subject.ok || isReservedName(subject.value)) return undefined;
  const id = nameId(subject.value, sha256Hex);
  return {
    principal: { name: subject.value, id, ownNamespace: id, grants: grantsOf(payload, grantsClaim) },
    issuedMs: (payload.iat ?? 0) * 1_000,
    untilMs: (payload.exp ?? 0) * 1_000,
  };
}

/**
 * Whether a JWT that nobody can check now is over by its own word: no signature is needed to believe that. A stream that
 * was opened with it would go on otherwise until the keys of the issuer can be had again.
 */
function ended(token: string, options: AuthenticationOptions): Authentication | undefined {
  try {
    const proved = provedBy(decodeJwt(token), options.grantsClaim);
    const verdict = proved === undefined ? undefined : judged(proved, options);
    return verdict?.kind === 'nobody' ? verdict : undefined;
  } catch {
    // No JWT by its form: that is for whoever checks it.
    return undefined;
  }
}

function judged({ principal, issuedMs, untilMs }: Proved, options: AuthenticationOptions): Authentication {
  const { clock, clockSkewMs, credentials } = options;
  // One that is remembered may have expired meanwhile.
  if (untilMs + clockSkewMs <= clock.nowMs()) return nobody('the JWT has expired');
  // It would outlive every revocation of its subject until then.
  if (issuedMs - clockSkewMs > clock.nowMs()) return nobody('the JWT was issued in the future');
  if (issuedMs < credentials.revokedBeforeMs(principal.id))
    return nobody(`tokens of ${principal.name} that are as old as this one were revoked`);
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
