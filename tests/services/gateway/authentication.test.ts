import { SignJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import {
  type Authentication,
  authentication,
  bearerToken,
  keyPrincipal,
  newApiKey,
} from '#services/gateway/authentication.ts';
import type { TokenRecord } from '#services/gateway/core/credential-records.ts';
import { localAdmin } from '#services/gateway/core/principal.ts';
import { type JwtOptions, jwtVerifier } from '#services/gateway/jwt-verifier.ts';

const localToken = 'kB2_the-token.of~the+tests/1=';
const startMs = Date.now();

interface World {
  readonly clock: ManualClock;
  readonly records: Map<string, TokenRecord>;
  readonly uses: string[];
  revokedBeforeMs: number;
  readonly prove: (credential: string) => Promise<Authentication>;
}

async function world(jwt?: Partial<JwtOptions>): Promise<World> {
  const clock = new ManualClock(startMs);
  const made = { clock, records: new Map<string, TokenRecord>(), uses: [] as string[], revokedBeforeMs: 0 };
  const authenticate = authentication({
    clock,
    localToken,
    credentials: {
      token: (id) => made.records.get(id),
      revokedBeforeMs: () => made.revokedBeforeMs,
      noteUse: (id) => void made.uses.push(id),
    },
    verifyJwt: jwt === undefined ? undefined : await jwtVerifier({ ...jwtDefaults, ...jwt }),
    clockSkewMs: 30_000,
    grantsClaim: 'trivet',
  });
  return Object.assign(made, { prove: async (credential: string) => authenticate(credential, '127.0.0.1') });
}

const jwtDefaults: JwtOptions = {
  algorithms: ['RS256', 'ES256', 'EdDSA'],
  issuer: 'https://issuer.example',
  audience: 'trivet',
  clockSkewS: 30,
  keys: { key: '' },
};

function keep({ records }: World, more: Partial<TokenRecord> = {}) {
  const { id, token, sha256 } = newApiKey();
  const record: TokenRecord = {
    kind: 'token',
    id,
    name: 'mailer',
    sha256,
    grants: [{ role: 'producer', queues: ['mails'] }],
    createdAtMs: startMs,
    createdBy: 'test',
    ...more,
  };
  records.set(id, record);
  return { token, record };
}

describe('the Authorization header', () => {
  test.each([`Bearer ${localToken}`, `bearer ${localToken}`, `Bearer   ${localToken}`])(
    '%j holds a token',
    (header) => {
      expect(bearerToken(header)).toBe(localToken);
    },
  );

  test.each([
    undefined,
    '',
    localToken,
    'Bearer',
    'Bearer ',
    `Basic ${localToken}`,
    'Bearer a b',
    'Bearer a,',
    'Bearer ä',
  ])('%j holds none', (header) => {
    expect(bearerToken(header)).toBeUndefined();
  });
});

describe('the local token', () => {
  test('proves the local admin', async () => {
    const { prove } = await world();
    expect(await prove(localToken)).toEqual({ kind: 'somebody', principal: localAdmin });
  });

  test.each(['', `${localToken}x`, localToken.slice(0, -1), localToken.toUpperCase(), 'x'.repeat(20_000)])(
    'and %.40j proves nobody',
    async (token) => {
      const { prove } = await world();
      expect(await prove(token)).toMatchObject({ kind: 'nobody' });
    },
  );
});

describe('an API key', () => {
  test('has 256 random bits, and its record does not hold them', () => {
    const { id, token, sha256 } = newApiKey();
    const secret = token.slice(`trv_${id}_`.length);
    expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
    expect(JSON.stringify({ id, sha256 })).not.toContain(secret);
    expect(new Set(Array.from({ length: 1_000 }, () => newApiKey().token)).size).toBe(1_000);
  });

  test('proves the principal of its record, and its use is noted', async () => {
    const own = await world();
    const { token, record } = keep(own);
    expect(await own.prove(token)).toEqual({ kind: 'somebody', principal: keyPrincipal(record) });
    expect(own.uses).toEqual([record.id]);
  });

  test('with another secret, and with an id that nobody has, proves nobody in the same words', async () => {
    const own = await world();
    const { record } = keep(own);
    const other = newApiKey().token;
    const forged = `trv_${record.id}_${other.slice(-43)}`;
    const answers = [await own.prove(forged), await own.prove(other)];
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ kind: 'nobody' });
    expect(own.uses).toEqual([]);
  });

  test('that is revoked proves nobody', async () => {
    const own = await world();
    const { token } = keep(own, { revokedAtMs: startMs });
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody', why: expect.stringContaining('revoked') });
  });

  test('proves somebody until the millisecond of its expiry', async () => {
    const own = await world();
    const { token } = keep(own, { expiresAtMs: startMs + 1_000 });
    await own.clock.advance(999, () => Promise.resolve());
    expect(await own.prove(token)).toMatchObject({ kind: 'somebody', untilMs: startMs + 1_000 });
    await own.clock.advance(1, () => Promise.resolve());
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody', why: expect.stringContaining('expired') });
  });

  test('that was shown a moment ago is refused in the same moment in which its record says so', async () => {
    const own = await world();
    const { token, record } = keep(own, { expiresAtMs: startMs + 500 });
    expect(await own.prove(token)).toMatchObject({ kind: 'somebody' });
    // As a watch brings it: another record of the same key.
    own.records.set(record.id, { ...record, grants: [{ role: 'viewer' }] });
    expect(await own.prove(token)).toMatchObject({ principal: { grants: [{ role: 'viewer' }] } });
    own.records.set(record.id, { ...record, revokedAtMs: startMs });
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody', why: expect.stringContaining('revoked') });
    own.records.set(record.id, { ...record, sha256: newApiKey().sha256 });
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody' });
    own.records.set(record.id, record);
    expect(await own.prove(token)).toMatchObject({ kind: 'somebody' });
    await own.clock.advance(500, () => Promise.resolve());
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody', why: expect.stringContaining('expired') });
    own.records.delete(record.id);
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody' });
  });

  test('is known by the whole of it alone, shown a moment ago or not', async () => {
    const own = await world();
    const { token } = keep(own);
    expect(await own.prove(token)).toMatchObject({ kind: 'somebody' });
    expect(await own.prove(localToken)).toMatchObject({ kind: 'somebody' });
    for (const good of [token, localToken])
      for (const guess of [good.slice(0, -1), `${good}A`, `${good.slice(0, -1)}~`, good.toUpperCase()])
        expect(await own.prove(guess)).toMatchObject({ kind: 'nobody' });
  });

  test('whose name is no plain word has a digest for its namespace, and two names never share one', () => {
    const { record } = keep({ records: new Map() } as unknown as World);
    const namespaceOf = (name: string) => keyPrincipal({ ...record, name }).ownNamespace;
    expect(namespaceOf('mailer')).toBe('u-mailer');
    const names = ['ada@example.org', 'ada example', 'x-ada', 'u-ada', 'ada_x', 'ada', 'a'.repeat(41)];
    expect(new Set(names.map(namespaceOf)).size).toBe(names.length);
    for (const name of names) expect(namespaceOf(name)).toMatch(/^[ux]-[A-Za-z0-9-]{1,40}$/);
  });
});

describe.each([
  ['RS256', 'pem'],
  ['ES256', 'jwk'],
  ['EdDSA', 'jwks'],
] as const)('a JWT signed with %s (key as %s)', (alg, form) => {
  const keys = generateKeyPair(alg, { extractable: true });
  const nowS = Math.floor(startMs / 1_000);

  async function key(): Promise<string> {
    const { publicKey } = await keys;
    if (form === 'pem') return exportSPKI(publicKey);
    const jwk = { ...(await exportJWK(publicKey)), alg, kid: 'one' };
    return JSON.stringify(form === 'jwk' ? jwk : { keys: [jwk] });
  }

  async function jwt(claims: Record<string, unknown> = {}, signed: string = alg): Promise<string> {
    const { privateKey } = await keys;
    const all = {
      iss: 'https://issuer.example',
      aud: 'trivet',
      sub: 'ada@example.org',
      iat: nowS,
      exp: nowS + 3_600,
      trivet: [
        'viewer',
        { role: 'producer', queues: ['mails'] },
        'role-of-another-program',
        { role: 'god' },
        7,
      ],
      ...claims,
    };
    return new SignJWT(all).setProtectedHeader({ alg: signed, kid: 'one' }).sign(privateKey);
  }

  test('proves its subject, with the grants that can be understood and no others', async () => {
    const { prove } = await world({ keys: { key: await key() } });
    expect(await prove(await jwt())).toMatchObject({
      kind: 'somebody',
      untilMs: (nowS + 3_600) * 1_000,
      principal: {
        name: 'ada@example.org',
        id: expect.stringMatching(/^x-[0-9a-f]{40}$/),
        grants: [{ role: 'viewer' }, { role: 'producer', queues: ['mails'] }],
      },
    });
  });

  test.each(['u-ada', 'k-0123456789abcdef', 'x-ada', 'local admin of the branch', 'nobody@example.org', 'a'])(
    'whose subject is %j has an id and a namespace of its own, whatever that looks like',
    async (sub) => {
      const { prove } = await world({ keys: { key: await key() } });
      const proved = await prove(await jwt({ sub }));
      expect(proved).toMatchObject({ principal: { name: sub, id: expect.stringMatching(/^[ux]-/) } });
      expect(proved).not.toMatchObject({ principal: { id: localAdmin.id } });
    },
  );

  test.each([
    ['another issuer', { iss: 'https://evil.example' }],
    ['another audience', { aud: 'somebody-else' }],
    ['no audience', { aud: undefined }],
    ['no subject', { sub: undefined }],
    ['a subject that cannot be a name', { sub: 'two\nlines' }],
    ['the name of the local admin', { sub: 'local admin' }],
    ['the name of the local admin, written otherwise', { sub: 'Local-Admin' }],
    ["the local admin's id", { sub: 'a-local' }],
    ['the name of those who proved nothing', { sub: 'NOBODY' }],
    ['no expiry', { exp: undefined }],
    ['an expiry that is longer over than clocks may differ', { exp: nowS - 60 }],
    ['a beginning that is further ahead than clocks may differ', { nbf: nowS + 60 }],
  ])('with %s proves nobody', async (_, claims) => {
    const { prove } = await world({ keys: { key: await key() } });
    expect(await prove(await jwt(claims))).toMatchObject({ kind: 'nobody' });
  });

  test('within the skew of the clocks is good', async () => {
    const { prove } = await world({ keys: { key: await key() } });
    expect(await prove(await jwt({ exp: nowS - 10, nbf: nowS + 10 }))).toMatchObject({ kind: 'somebody' });
  });

  test('of an algorithm that is not pinned proves nobody', async () => {
    const others = ['RS256', 'ES256', 'EdDSA'].filter((one) => one !== alg);
    const { prove } = await world({ algorithms: others, keys: { key: JSON.stringify({ keys: [] }) } });
    expect(await prove(await jwt())).toMatchObject({ kind: 'nobody' });
  });

  test('that was changed, or has no signature, proves nobody', async () => {
    const { prove } = await world({ keys: { key: await key() } });
    const [head, body, signature] = (await jwt()).split('.');
    const admin = Buffer.from(JSON.stringify({ sub: 'ada', trivet: ['admin'], exp: nowS + 60 })).toString(
      'base64url',
    );
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    for (const forged of [
      `${head}.${admin}.${signature}`,
      `${none}.${body}.`,
      `${none}.${admin}.${signature}`,
      `${head}.${body}.`,
    ])
      expect(await prove(forged)).toMatchObject({ kind: 'nobody' });
  });

  test('that says it was issued in the future, by more than clocks may differ, proves nobody', async () => {
    const own = await world({ keys: { key: await key() } });
    expect(await own.prove(await jwt({ iat: nowS + 3_600 }))).toMatchObject({
      kind: 'nobody',
      why: expect.stringContaining('future'),
    });
    expect(await own.prove(await jwt({ iat: nowS + 29 }))).toMatchObject({ kind: 'somebody' });
  });

  test('that is remembered still ends with its expiry, and with the revocation of its subject', async () => {
    const own = await world({ keys: { key: await key() } });
    const token = await jwt({ exp: nowS + 5 });
    expect(await own.prove(token)).toMatchObject({ kind: 'somebody' });
    own.revokedBeforeMs = nowS * 1_000 + 1;
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody', why: expect.stringContaining('revoked') });
    own.revokedBeforeMs = 0;
    await own.clock.advance(36_000, () => Promise.resolve());
    expect(await own.prove(token)).toMatchObject({ kind: 'nobody' });
  });
});

describe('HS256', () => {
  const secret = 'a secret of at least thirty-two bytes';
  const algorithms = ['HS256'];

  test('proves its subject', async () => {
    const { prove } = await world({ algorithms, keys: { key: secret } });
    const token = await new SignJWT({ trivet: ['viewer'] })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('https://issuer.example')
      .setAudience('trivet')
      .setSubject('ada')
      .setExpirationTime('1h')
      .sign(Buffer.from(secret));
    expect(await prove(token)).toMatchObject({ kind: 'somebody', principal: { id: 'u-ada' } });
  });

  test.each([
    ['a secret that is too short', { algorithms, keys: { key: 'short' } }],
    ['a public key in the place of a secret', { algorithms, keys: { key: '-----BEGIN PUBLIC KEY-----' } }],
    ['a list that mixes it with signatures', { algorithms: ['HS256', 'RS256'], keys: { key: secret } }],
    ['a key set on the network', { algorithms, keys: { jwksUrl: 'https://issuer.example/jwks' } }],
    ['signatures alone and a secret', { algorithms: ['RS256'], keys: { key: secret } }],
  ])('is not started with %s', async (_, jwt) => {
    await expect(world(jwt)).rejects.toThrow(/JWT|key set/);
  });
});

describe('while the keys of the issuer cannot be had', () => {
  async function unheard(claims: object) {
    const { privateKey } = await generateKeyPair('EdDSA');
    const token = await new SignJWT({ sub: 'ada', iat: startMs / 1_000, ...claims })
      .setProtectedHeader({ alg: 'EdDSA' })
      .sign(privateKey);
    const authenticate = authentication({
      clock: new ManualClock(startMs),
      localToken,
      credentials: {
        token: () => undefined,
        revokedBeforeMs: (id) => (id === 'u-mallory' ? startMs + 1 : 0),
        noteUse: () => undefined,
      },
      verifyJwt: () => Promise.resolve({ kind: 'unavailable', why: 'no keys' }),
      clockSkewMs: 30_000,
      grantsClaim: 'trivet',
    });
    return authenticate(token, '127.0.0.1');
  }

  // An open stream is asked for so once a second, and goes on while nobody can tell.
  test.each([
    ['has expired', { exp: startMs / 1_000 - 31 }],
    ['is of a subject that was revoked', { sub: 'mallory', exp: startMs / 1_000 + 60 }],
  ])('a JWT that by its own word %s is nobody’s', async (_, claims) => {
    expect(await unheard(claims)).toMatchObject({ kind: 'nobody' });
  });

  test('nobody can tell of another one', async () => {
    expect(await unheard({ exp: startMs / 1_000 + 60 })).toMatchObject({ kind: 'unavailable' });
  });
});
