import { SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ClosedCluster, adminToken, startClosedCluster } from './closed-cluster.ts';

// What is revoked while no auth callout runs.

const jwtSecret = 'the secret that signs the JWTs of these tests';
const jwt = (subject: string) =>
  new SignJWT({ trivet: ['viewer'] })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('https://issuer.example')
    .setAudience('trivet')
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(Buffer.from(jwtSecret));

let cluster: ClosedCluster;
beforeAll(async () => {
  cluster = await startClosedCluster([], {
    TRIVET_JWT_KEY: jwtSecret,
    TRIVET_JWT_ALGORITHMS: 'HS256',
    TRIVET_JWT_ISSUER: 'https://issuer.example',
    TRIVET_JWT_AUDIENCE: 'trivet',
  });
});
afterAll(() => cluster.stop());

test('a subject’s connection ends as soon as a callout is there again, and no other does', async () => {
  const callout = await cluster.start('auth-callout');
  const carol = await cluster.connect(await jwt('carol'));
  const dave = await cluster.connect(await jwt('dave'));
  await callout.stop();
  await cluster.call('POST', '/v1/tokens/revoke-subject', adminToken, { subject: 'carol' });
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await cluster.start('auth-callout');
  const later = await cluster.connect(await jwt('carol'));
  const ended = await Promise.race([
    carol.closed().then(() => 'ended'),
    new Promise((resolve) => setTimeout(resolve, 5_000, 'goes on')),
  ]);
  expect(ended).toBe('ended');
  expect([dave.isClosed(), later.isClosed()]).toEqual([false, false]);
});
