import { payloadBytesLimit, payloadBytesMax } from '#shared/protocol/limits.ts';
import { commonSettings, integer, processSettings, redisUrl, word } from '#shared/runtime/config.ts';

/** The settings of a broker. */
export const queueSettings = {
  ...commonSettings,
  ...processSettings('queue-broker'),
  partitions: integer({
    env: 'TRIVET_PARTITIONS',
    default: 16,
    min: 1,
    max: 256,
    about: 'partitions of the queues, fixed when the cluster is made',
  }),
  queueStore: word({
    env: 'TRIVET_QUEUE_STORE',
    default: 'lmdb',
    words: ['lmdb', 'redis'],
    about: 'where the tables are, files of this process or a Redis of all brokers',
  }),
  redisUrl: redisUrl('the Redis of the tables'),
  logBytesMax: integer({
    env: 'TRIVET_LOG_BYTES_MAX',
    default: 2 * 1_024 ** 3,
    min: 1_048_576,
    max: 2 ** 49,
    about: "most bytes of one partition's log",
  }),
  payloadBytesMax: integer({
    env: 'TRIVET_PAYLOAD_BYTES_MAX',
    default: payloadBytesMax,
    min: 1_024,
    max: payloadBytesLimit,
    about:
      'most bytes of the payload of one item, the same for every broker; with a `max_payload` of NATS below 8 MB half of that at most',
  }),
  snapshotIntervalMs: integer({
    env: 'TRIVET_SNAPSHOT_INTERVAL_MS',
    default: 3_600_000,
    min: 1_000,
    max: 604_800_000,
    about: 'a partition that has changed is snapshotted after this many milliseconds at the latest',
  }),
} as const;
