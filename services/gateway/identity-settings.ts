import { durationMs } from '#shared/protocol/durations.ts';
import { type Setting, text, word } from '#shared/runtime/config.ts';
import { isSeed } from '#shared/runtime/signing-key.ts';
import { asymmetric, symmetric } from './jwt-verifier.ts';

const optionalText = (setting: {
  readonly env: string;
  readonly about: string;
  readonly secret?: boolean;
}): Setting<string | undefined> => text<string | undefined>({ ...setting, default: undefined });

const known: readonly string[] = [...asymmetric, ...symmetric];

const algorithms: Setting<readonly string[]> = {
  env: 'TRIVET_JWT_ALGORITHMS',
  about:
    'the algorithms that a JWT may be signed with, with commas between; no others, whatever it says itself',
  default: ['RS256', 'ES256', 'EdDSA'],
  parse: (given) => {
    const value = given.split(',').map((one) => one.trim());
    return value.every((one) => known.includes(one))
      ? { value }
      : { expected: `some of ${known.join(', ')}` };
  },
};

const clockSkewMs: Setting<number> = {
  env: 'TRIVET_JWT_CLOCK_SKEW',
  about: 'how far the clock of the issuer may be from this one',
  default: 30_000,
  parse: (given) => {
    const value = durationMs(given) ?? Infinity;
    return value <= 300_000 ? { value } : { expected: 'a duration up to 5m' };
  },
};

const jwksUrl: Setting<string | undefined> = {
  env: 'TRIVET_JWT_JWKS_URL',
  about: 'where the keys of the issuer of JWTs are (JWKS)',
  default: undefined,
  parse: (given) => {
    const url = URL.canParse(given) ? new URL(given) : undefined;
    const isLocal = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
    // Who can change what comes over the wire could put a key of their own among them.
    return url?.protocol === 'https:' || isLocal
      ? { value: given }
      : { expected: 'an https:// URL (http:// on loopback alone)' };
  },
};

const auditKey: Setting<string | undefined> = {
  env: 'TRIVET_AUDIT_KEY',
  about:
    'the seed (an nkey, SU…) that heads of the audit are signed with; made and kept in the data folder when absent',
  default: undefined,
  secret: true,
  parse: (given) => (isSeed(given) ? { value: given } : { expected: 'the seed of an nkey (SU…)' }),
};

/** What the gateway and the auth callout must be told alike, so that a token means the same to both. */
export const identitySettings = {
  jwtJwksUrl: jwksUrl,
  jwtKey: optionalText({
    env: 'TRIVET_JWT_KEY',
    about: 'in the place of a JWKS URL: the public key (PEM, JWK or JWKS), or the secret of HS…',
    secret: true,
  }),
  jwtAlgorithms: algorithms,
  jwtIssuer: optionalText({
    env: 'TRIVET_JWT_ISSUER',
    about: 'what `iss` of a JWT must be; needed for JWTs',
  }),
  jwtAudience: optionalText({
    env: 'TRIVET_JWT_AUDIENCE',
    about: 'what `aud` of a JWT must hold; needed for JWTs',
  }),
  jwtClockSkewMs: clockSkewMs,
  jwtGrantsClaim: text({
    env: 'TRIVET_JWT_GRANTS_CLAIM',
    default: 'trivet',
    about: 'the claim of a JWT with its grants: names of roles, or grants as in docs/protocol.md',
  }),
  audit: word({
    env: 'TRIVET_AUDIT',
    default: 'changes',
    words: ['changes', 'everything'],
    about: 'what is in the audit, what is administrative or refused (`changes`) or every operation',
  }),
  auditKey,
} as const;

/** The gateway's alone. */
export const sessionSettings = {
  sessionSecret: {
    env: 'TRIVET_SESSION_SECRET',
    about:
      'what cookies are encrypted with: the same for gateways that take each other’s; made up when absent',
    default: undefined,
    secret: true,
    parse: (given: string) =>
      given.length >= 32 ? { value: given } : { expected: 'at least 32 characters' },
  } as Setting<string | undefined>,
} as const;
