import {
  type JSONWebKeySet,
  type JWK,
  type JWTPayload,
  type JWTVerifyGetKey,
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  importSPKI,
  jwtVerify,
} from 'jose';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';

/** How JWTs are checked. */
export interface JwtOptions {
  /** The only ones that are taken, whatever a token says of itself. */
  readonly algorithms: readonly string[];
  readonly issuer: string;
  readonly audience: string;
  /** How far clocks may be apart, in seconds. */
  readonly clockSkewS: number;
  readonly keys: { readonly jwksUrl: string } | { readonly key: string };
}

export const symmetric = ['HS256', 'HS384', 'HS512'] as const;
export const asymmetric = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

/** What a JWT proves; why it proves nothing; or that nobody can tell now, because the keys cannot be had. */
export type JwtOutcome =
  | { readonly kind: 'good'; readonly payload: JWTPayload }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'unavailable'; readonly why: string };

export type VerifyJwt = (token: string) => Promise<JwtOutcome>;

/** An unknown key id makes the keys be asked for again, at most this often: forged ids must not become a flood. */
const jwksCooldownMs = 3_000;
/** Keys are asked for again after this long, so that a withdrawn one is out within it. */
const jwksAgeMsMax = 600_000;
const jwksMsMax = 5_000;

/**
 * A verifier with its keys.
 * @throws StartRefused (2) when the key does not fit the algorithms
 */
export async function jwtVerifier(options: JwtOptions): Promise<VerifyJwt> {
  const keyOf = await keySource(options);
  const checks = {
    algorithms: [...options.algorithms],
    issuer: options.issuer,
    audience: options.audience,
    clockTolerance: options.clockSkewS,
    requiredClaims: ['exp', 'sub'],
  };
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keyOf, checks);
      return { kind: 'good', payload };
    } catch (error) {
      return outcomeOf(error);
    }
  };
}

function outcomeOf(error: unknown): JwtOutcome {
  if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid)
    return { kind: 'unavailable', why: 'the keys of the issuer cannot be read' };
  // What is wrong with the token is told by its code: never its content.
  if (error instanceof errors.JWTExpired) return { kind: 'refused', why: 'the JWT has expired' };
  if (error instanceof errors.JWTClaimValidationFailed)
    return { kind: 'refused', why: `the JWT's ${error.claim} is ${error.reason.replaceAll('_', ' ')}` };
  if (error instanceof errors.JWKSNoMatchingKey)
    return { kind: 'refused', why: 'the JWT is signed with an unknown key' };
  // jose's own general error: the keys were answered with something else than 200 or than JSON.
  if (error instanceof errors.JOSEError && error.code === 'ERR_JOSE_GENERIC')
    return { kind: 'unavailable', why: 'the keys of the issuer cannot be had' };
  if (error instanceof errors.JOSEError) return { kind: 'refused', why: 'the JWT is not valid' };
  if (error instanceof TypeError)
    return error.message.includes('fetch')
      ? { kind: 'unavailable', why: 'the keys of the issuer cannot be had' }
      : { kind: 'refused', why: 'the JWT is not valid' };
  return { kind: 'refused', why: 'the JWT is not valid' };
}

async function keySource({ keys, algorithms }: JwtOptions): Promise<JWTVerifyGetKey> {
  if ('jwksUrl' in keys) {
    if (algorithms.some(isSymmetric))
      throw new StartRefused(
        exitCodes.usage,
        'a key set on the network is public: HS… cannot be used with it',
      );
    return createRemoteJWKSet(new URL(keys.jwksUrl), {
      cooldownDuration: jwksCooldownMs,
      cacheMaxAge: jwksAgeMsMax,
      timeoutDuration: jwksMsMax,
    });
  }
  return fixedKey(keys.key.trim(), algorithms).catch((error: unknown) => {
    if (error instanceof StartRefused) throw error;
    const reason = error instanceof Error ? error.message : 'unknown';
    throw new StartRefused(exitCodes.usage, `the key for JWTs cannot be used: ${reason}`);
  });
}

/** A JWK, a set of them, a public key in PEM, or the secret of HS…. */
async function fixedKey(text: string, algorithms: readonly string[]): Promise<JWTVerifyGetKey> {
  const isSecret = !text.startsWith('{') && !text.startsWith('-----BEGIN');
  // A public key that is taken for a secret is the oldest way to forge a JWT; a mixed list would allow it.
  if (
    algorithms.some(isSymmetric) !== isSecret ||
    algorithms.some(isSymmetric) !== algorithms.every(isSymmetric)
  )
    throw new StartRefused(
      exitCodes.usage,
      `the key for JWTs does not fit the algorithms ${algorithms.join(', ')}`,
    );
  if (isSecret) {
    const secret = Buffer.from(text);
    const bytesMin = Math.max(...algorithms.map((name) => Number(name.slice(2)) / 8));
    if (secret.length < bytesMin)
      throw new StartRefused(exitCodes.usage, `the secret for JWTs must have at least ${bytesMin} bytes`);
    return () => Promise.resolve(secret);
  }
  if (text.startsWith('-----BEGIN')) {
    const key = await importSPKI(text, algorithms[0] ?? '');
    return () => Promise.resolve(key);
  }
  const parsed = JSON.parse(text) as JWK | JSONWebKeySet;
  return createLocalJWKSet('keys' in parsed ? parsed : { keys: [parsed] });
}

const isSymmetric = (algorithm: string): boolean => algorithm.startsWith('HS');

/** The settings as options; undefined where JWTs are not in use. */
export function jwtOptions(config: {
  readonly jwtJwksUrl: string | undefined;
  readonly jwtKey: string | undefined;
  readonly jwtAlgorithms: readonly string[];
  readonly jwtIssuer: string | undefined;
  readonly jwtAudience: string | undefined;
  readonly jwtClockSkewMs: number;
}): JwtOptions | undefined {
  const { jwtJwksUrl: jwksUrl, jwtKey: key } = config;
  if (jwksUrl !== undefined && key !== undefined)
    throw new StartRefused(
      exitCodes.usage,
      'give one of TRIVET_JWT_JWKS_URL, TRIVET_JWT_KEY and TRIVET_JWT_KEY_FILE',
    );
  const keys = key !== undefined ? { key } : jwksUrl !== undefined ? { jwksUrl } : undefined;
  if (keys === undefined) return undefined;
  if (config.jwtIssuer === undefined || config.jwtAudience === undefined)
    throw new StartRefused(exitCodes.usage, 'JWTs need TRIVET_JWT_ISSUER and TRIVET_JWT_AUDIENCE');
  return {
    algorithms: config.jwtAlgorithms,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    clockSkewS: config.jwtClockSkewMs / 1_000,
    keys,
  };
}
