import { isIP } from 'node:net';
import { durationMs } from '#shared/protocol/durations.ts';
import { payloadBytesLimit, payloadBytesMax } from '#shared/protocol/limits.ts';
import {
  type Setting,
  commonSettings,
  integer,
  port,
  processSettings,
  text,
} from '#shared/runtime/config.ts';
import { type Rate, parseRate } from './core/rate.ts';
import { identitySettings, sessionSettings } from './identity-settings.ts';

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

const rate = (setting: {
  readonly env: string;
  readonly about: string;
  readonly default: Rate | undefined;
}): Setting<Rate | undefined> => ({ ...setting, parse: parseRate });

/** An origin as browsers send it: scheme, host and port, nothing behind. */
const originExpression = /^https?:\/\/[A-Za-z0-9.[\]:-]+$/;

const origins: Setting<readonly string[]> = {
  env: 'TRIVET_HTTP_CORS_ORIGINS',
  about: 'origins whose pages may call the gateway, with commas between; none by default',
  default: [],
  parse: (given) => {
    const value = given.split(',').map((one) => one.trim());
    return value.every((one) => originExpression.test(one))
      ? { value }
      : { expected: 'origins such as https://shop.example, with commas between' };
  },
};

const trustProxy: Setting<string | undefined> = {
  env: 'TRIVET_HTTP_TRUST_PROXY',
  about: 'addresses or networks of proxies whose X-Forwarded-For is believed, with commas between',
  default: undefined,
  parse: (given) =>
    given.split(',').every((one) => isNetwork(one.trim()))
      ? { value: given }
      : { expected: 'IP addresses or networks such as 10.0.0.0/8, with commas between' },
};

/** As Fastify reads it: an address, perhaps with the length or the mask of its network, or a word for some networks. */
function isNetwork(text: string): boolean {
  const [address = '', range, ...rest] = text.split('/');
  const family = isIP(address);
  if (rest.length > 0) return false;
  if (range === undefined) return family !== 0 || ['loopback', 'linklocal', 'uniquelocal'].includes(text);
  if (family === 0) return false;
  if (!/^[0-9]{1,3}$/.test(range)) return family === 4 && isIP(range) === 4;
  return Number(range) >= 1 && Number(range) <= (family === 4 ? 32 : 128);
}

const receiveMs: Setting<number> = {
  env: 'TRIVET_HTTP_RECEIVE_TIMEOUT',
  about: 'a request that has not come in whole after this long is refused and its connection closed',
  default: 30_000,
  parse: (given) => {
    const value = durationMs(given) ?? 0;
    return value >= 1_000 && value <= 600_000 ? { value } : { expected: 'a duration from 1s to 10m' };
  },
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
  httpReceiveMs: receiveMs,
  payloadBytesMax: integer({
    env: 'TRIVET_PAYLOAD_BYTES_MAX',
    default: payloadBytesMax,
    min: 1_024,
    max: payloadBytesLimit,
    about: 'largest payload or value that a request may bring, in bytes; as the brokers have it',
  }),
  httpEventStreamsMax: integer({
    env: 'TRIVET_HTTP_EVENT_STREAMS',
    default: 1_000,
    min: 0,
    max: 100_000,
    about: 'streams of GET /v1/events at once, over all callers',
  }),
  httpEventStreamsEachMax: integer({
    env: 'TRIVET_HTTP_EVENT_STREAMS_EACH',
    default: 100,
    min: 0,
    max: 100_000,
    about: 'how many of them one principal may have, so that none takes those of all others',
  }),
  httpRate: rate({
    env: 'TRIVET_HTTP_RATE',
    default: undefined,
    about: 'requests that one principal may make of this gateway, such as `1000/1s`; none by default',
  }),
  httpRateRefused: rate({
    env: 'TRIVET_HTTP_RATE_REFUSED',
    default: { count: 1_000, perMs: 60_000 },
    about: 'requests without a valid token that one address may make before it is no longer heard',
  }),
  httpCorsOrigins: origins,
  httpTrustProxy: trustProxy,
  httpTlsCertificate: text<string | undefined>({
    env: 'TRIVET_HTTP_TLS_CERT',
    default: undefined,
    about: 'file with the certificate chain (PEM): HTTPS instead of HTTP; read again when it changes',
  }),
  httpTlsKey: text<string | undefined>({
    env: 'TRIVET_HTTP_TLS_KEY',
    default: undefined,
    about: 'file with its private key (PEM)',
  }),
  token,
  ...sessionSettings,
  ...identitySettings,
} as const;
