import {
  type Setting,
  commonSettings,
  integer,
  port,
  processSettings,
  text,
} from '#shared/runtime/config.ts';

const tokenLengthMin = 16;
// What RFC 6750 lets a bearer token consist of.
const tokenExpression = /^[A-Za-z0-9._~+/-]+=*$/;

const token: Setting<string> = {
  env: 'TRIVET_TOKEN',
  about: 'the local admin token',
  secret: true,
  parse: (given) =>
    given.length >= tokenLengthMin && tokenExpression.test(given)
      ? { value: given }
      : { expected: `at least ${tokenLengthMin} characters of A-Z, a-z, 0-9 and ._~+/-` },
};

export const gatewaySettings = {
  ...commonSettings,
  ...processSettings('gateway'),
  httpPort: port({ env: 'TRIVET_HTTP_PORT', default: 8420, about: 'port for HTTP; 0 is any free one' }),
  httpHost: text({
    env: 'TRIVET_HTTP_HOST',
    default: '127.0.0.1',
    about: 'address to listen on; another than loopback opens the gateway to the network',
  }),
  httpConnectionsMax: integer({
    env: 'TRIVET_HTTP_CONNECTIONS',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    about: 'connections at once; more are closed at once',
  }),
  token,
} as const;
