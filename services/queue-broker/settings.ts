import { commonSettings, integer, processSettings } from '#shared/runtime/config.ts';

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
  logBytesMax: integer({
    env: 'TRIVET_LOG_BYTES_MAX',
    default: 2 * 1_024 ** 3,
    min: 1_048_576,
    max: 2 ** 49,
    about: "most bytes of one partition's log",
  }),
  snapshotIntervalMs: integer({
    env: 'TRIVET_SNAPSHOT_INTERVAL_MS',
    default: 3_600_000,
    min: 1_000,
    max: 604_800_000,
    about: 'a partition that has changed is snapshotted after this many milliseconds at the latest',
  }),
} as const;
