import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig } from '#shared/runtime/config.ts';
import { jwtOptions } from '#services/gateway/jwt-verifier.ts';
import { gatewaySettings } from '#services/gateway/settings.ts';

const faultsOf = (env: Record<string, string>) => {
  const read = readConfig(gatewaySettings, { env });
  return 'faults' in read ? read.faults : [];
};

test('the gateway listens on loopback, port 8420, unless it is told otherwise', () => {
  const read = readConfig(gatewaySettings, { env: { TRIVET_TOKEN: 'sixteen-letters-' } });
  expect(read).toMatchObject({ config: { httpHost: '127.0.0.1', httpPort: 8420 } });
});

test('without a token there is no gateway', () => {
  expect(faultsOf({})).toEqual([expect.stringMatching(/^TRIVET_TOKEN is missing/)]);
});

test.each(['fifteen-letters', 'a token with spaces in it', 'ein-schlüssel-mit-umlaut'])(
  '%j is no token that a Bearer header could carry safely',
  (token) => {
    expect(faultsOf({ TRIVET_TOKEN: token })).toEqual([
      expect.stringMatching(/^TRIVET_TOKEN must be at least/),
    ]);
  },
);

test('a secret may be in a file, which is named by its variable and _FILE', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-settings-'));
  const file = join(folder, 'token');
  try {
    await writeFile(file, 'sixteen-letters-\n');
    const read = readConfig(gatewaySettings, { env: { TRIVET_TOKEN_FILE: file } });
    expect(read).toMatchObject({ config: { token: 'sixteen-letters-' } });
    await writeFile(file, 'too short, and secret');
    const [fault = ''] = faultsOf({ TRIVET_TOKEN_FILE: file });
    expect(fault).toMatch(/^the content of TRIVET_TOKEN_FILE must be at least/);
    expect(fault).not.toContain('secret');
    expect(faultsOf({ TRIVET_TOKEN_FILE: file, TRIVET_TOKEN: 'sixteen-letters-' })).toEqual([
      'TRIVET_TOKEN and TRIVET_TOKEN_FILE exclude each other',
    ]);
    expect(faultsOf({ TRIVET_TOKEN_FILE: join(folder, 'none') })).toEqual([
      expect.stringMatching(/^TRIVET_TOKEN_FILE cannot be read: /),
    ]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test.each([
  ['1000/1s', { count: 1_000, perMs: 1_000 }],
  ['5/250ms', { count: 5, perMs: 250 }],
  ['none', undefined],
])('the rate %s is read', (text, httpRate) => {
  const read = readConfig(gatewaySettings, {
    env: { TRIVET_TOKEN: 'sixteen-letters-', TRIVET_HTTP_RATE: text },
  });
  expect(read).toMatchObject({ config: { httpRate } });
});

test.each([
  ['TRIVET_HTTP_RATE', '0/1s'],
  ['TRIVET_HTTP_RATE', '5'],
  ['TRIVET_HTTP_RATE', '5/2d'],
  ['TRIVET_HTTP_CORS_ORIGINS', '*'],
  ['TRIVET_HTTP_CORS_ORIGINS', 'https://a.example/path'],
  ['TRIVET_HTTP_RECEIVE_TIMEOUT', '10ms'],
  ['TRIVET_HTTP_TRUST_PROXY', 'the-proxy'],
  ['TRIVET_HTTP_TRUST_PROXY', '10.0.0.0/33'],
  ['TRIVET_AUDIT_KEY', 'SUAAAA'],
  ['TRIVET_NAME', 'gateway 1'],
  ['TRIVET_NAME', 'gateway.>'],
  ['NATS_URL', 'nats://host:99999'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
])('%s=%s is refused by name', (variable, value) => {
  expect(faultsOf({ TRIVET_TOKEN: 'sixteen-letters-', [variable]: value })).toEqual([
    expect.stringMatching(new RegExp(`^${variable} must be `)),
  ]);
});

test.each([
  ['TRIVET_HTTP_TRUST_PROXY', '127.0.0.1, 10.0.0.0/8,fd00::/8,172.16.0.0/255.240.0.0,loopback'],
  ['TRIVET_NAME', 'gateway-1.example.org'],
  ['NATS_URL', 'nats://u:p%40#@one:4222,two'],
])('%s=%s is taken', (variable, value) => {
  expect(faultsOf({ TRIVET_TOKEN: 'sixteen-letters-', [variable]: value })).toEqual([]);
});

test('a fault of an address does not show the password in it', () => {
  const [fault] = faultsOf({ TRIVET_TOKEN: 'sixteen-letters-', NATS_URL: 'nats://me:hidden@host:99999' });
  expect(fault).toMatch(/^NATS_URL must be an address .*, not "nats:\/\/host:99999"$/);
});

test('the key of JWTs may be in a file, and goes with no JWKS URL', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-settings-'));
  const file = join(folder, 'key');
  const optionsOf = (env: Record<string, string>) => {
    const read = readConfig(gatewaySettings, {
      env: { TRIVET_TOKEN: 'sixteen-letters-', TRIVET_JWT_ISSUER: 'i', TRIVET_JWT_AUDIENCE: 'a', ...env },
    });
    if ('faults' in read) throw new Error(read.faults.join());
    return jwtOptions(read.config);
  };
  try {
    await writeFile(file, 'the key\n');
    expect(optionsOf({ TRIVET_JWT_KEY_FILE: file })).toMatchObject({ keys: { key: 'the key' } });
    expect(optionsOf({ TRIVET_JWT_KEY: 'another' })).toMatchObject({ keys: { key: 'another' } });
    expect(optionsOf({})).toBeUndefined();
    const jwksUrl = 'https://issuer.example/keys';
    expect(() => optionsOf({ TRIVET_JWT_KEY_FILE: file, TRIVET_JWT_JWKS_URL: jwksUrl })).toThrow(
      /give one of/,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
