import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, SignJWT, exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type VerifyJwt, jwtVerifier } from '#services/gateway/jwt-verifier.ts';

// Keys of an issuer over HTTP, which are replaced while tokens are checked.

let keys: object[] = [];
let asked = 0;
let server: Server;
let verify: VerifyJwt;

async function newKey(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } };
}

const sign = ({ kid, privateKey }: { kid: string; privateKey: CryptoKey }): Promise<string> =>
  new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer('https://issuer.example')
    .setAudience('trivet')
    .setSubject('ada')
    .setExpirationTime('1h')
    .sign(privateKey);

beforeAll(async () => {
  server = createServer((_request, response) => {
    asked += 1;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  verify = await jwtVerifier({
    algorithms: ['ES256'],
    issuer: 'https://issuer.example',
    audience: 'trivet',
    clockSkewS: 30,
    keys: { jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks` },
  });
});
afterAll(() => server.close());

test('a new key of the issuer is found by its id, and a flood of made-up ids asks the issuer once', async () => {
  const one = await newKey('one');
  const two = await newKey('two');
  keys = [one.jwk];
  expect(await verify(await sign(one))).toMatchObject({ kind: 'good' });
  keys = [one.jwk, two.jwk];
  await expect
    .poll(async () => (await verify(await sign(two))).kind, { timeout: 15_000, interval: 500 })
    .toBe('good');
  expect(await verify(await sign(one))).toMatchObject({ kind: 'good' });
  const before = asked;
  const forged = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => verify(await sign(await newKey(`forged-${n}`)))),
  );
  expect(new Set(forged.map(({ kind }) => kind))).toEqual(new Set(['refused']));
  expect(asked - before).toBeLessThanOrEqual(1);
});

test('keys that cannot be had are not the token’s fault', async () => {
  const away = await jwtVerifier({
    algorithms: ['ES256'],
    issuer: 'https://issuer.example',
    audience: 'trivet',
    clockSkewS: 30,
    keys: { jwksUrl: 'http://127.0.0.1:1/jwks' },
  });
  expect(await away(await sign(await newKey('one')))).toMatchObject({ kind: 'unavailable' });
});
