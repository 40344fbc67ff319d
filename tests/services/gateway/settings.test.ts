import { expect, test } from 'vitest';
import { readConfig } from '#shared/runtime/config.ts';
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
