import { commonSettings, integer, processSettings } from '#shared/runtime/config.ts';

export const cacheSettings = {
  ...commonSettings,
  ...processSettings('cache-node'),
  cacheBytesMax: integer({
    env: 'TRIVET_CACHE_BYTES',
    default: 1_073_741_824,
    min: 1_048_576,
    max: 999_999_999_999_999,
    about: 'bytes of keys and values that this node may hold, over all namespaces',
  }),
  cacheLeaseMs: integer({
    env: 'TRIVET_CACHE_LEASE_MS',
    default: 2_000,
    min: 200,
    max: 60_000,
    about: 'milliseconds after which a cache node that vanished is replaced by another one (and a half more)',
  }),
} as const;
