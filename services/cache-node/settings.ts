import { commonSettings, integer, processSettings, redisUrl } from '#shared/runtime/config.ts';

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
    about: 'milliseconds after which a cache node that vanished no longer counts (and a quarter more)',
  }),
  cacheHandOverMs: integer({
    env: 'TRIVET_CACHE_HANDOVER_MS',
    default: 8_000,
    min: 0,
    max: 9_000,
    about: 'milliseconds that a cache node which ends may take to hand its entries to the others',
  }),
  cacheReturnMs: integer({
    env: 'TRIVET_CACHE_RETURN_MS',
    default: 5_000,
    min: 0,
    max: 600_000,
    about:
      'milliseconds for which keys in files wait for their cache nodes, where all were stopped, to come back',
  }),
  cacheDeadlineMs: integer({
    env: 'TRIVET_CACHE_DEADLINE_MS',
    default: 250,
    min: 20,
    max: 10_000,
    about:
      'milliseconds that a call may take which needs a backend; the backend gets four fifths of it, then memory answers',
  }),
  redisUrl: redisUrl('the Redis of namespaces with the backend redis, connected to when there is one'),
} as const;
