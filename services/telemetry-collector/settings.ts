import {
  commonSettings,
  integer,
  port,
  portOrOff,
  processSettings,
  text,
  word,
} from '#shared/runtime/config.ts';
import { telemetryLevels } from '#shared/protocol/telemetry-records.ts';

/** Everything that a collector can be told. */
export const settings = {
  ...commonSettings,
  ...processSettings('telemetry-collector'),
  metricsPort: port({
    env: 'TRIVET_METRICS_PORT',
    default: 0,
    about: 'port on loopback for Prometheus at /metrics; 0 is any free one, which the log names',
  }),
  levelMin: word({
    env: 'TRIVET_TELEMETRY_LEVEL',
    default: 'debug',
    words: telemetryLevels,
    about: 'the least severe event, error or log record that is kept',
  }),
  flushMs: integer({
    env: 'TRIVET_TELEMETRY_FLUSH_MS',
    default: 200,
    min: 1,
    max: 10_000,
    about: 'longest time that a message waits for others before they are committed and exported together',
  }),
  ackWaitMs: integer({
    env: 'TRIVET_TELEMETRY_ACK_WAIT_MS',
    default: 30_000,
    min: 1_000,
    max: 600_000,
    about: 'how long JetStream waits for a collector that is silent before it gives its messages to another',
  }),
  streamBytesMax: integer({
    env: 'TRIVET_TELEMETRY_BYTES_MAX',
    default: 2_147_483_648,
    min: 1_048_576,
    max: 1_000_000_000_000,
    about: 'size of the stream of records, in bytes; when it is full, publishes are refused',
  }),
  deadBytesMax: integer({
    env: 'TRIVET_TELEMETRY_DEAD_BYTES_MAX',
    default: 268_435_456,
    min: 1_048_576,
    max: 1_000_000_000_000,
    about: 'size of the dead-letter stream, in bytes; when it is full, the oldest go',
  }),
  seriesMax: integer({
    env: 'TRIVET_TELEMETRY_SERIES_MAX',
    default: 2_000,
    min: 1,
    max: 1_000_000,
    about: 'series of one source; what comes after shares one overflow series for each name',
  }),
  recentMax: integer({
    env: 'TRIVET_TELEMETRY_RECENT_MAX',
    default: 5_000,
    min: 0,
    max: 10_000_000,
    about: 'events, errors and log records that are kept for queries, of each kind',
  }),
  webhooks: text({
    env: 'TRIVET_TELEMETRY_WEBHOOKS',
    default: '',
    about:
      'origins that alerts may call, such as https://hooks.example.org, divided by commas; no other is called',
  }),
  alertMs: integer({
    env: 'TRIVET_TELEMETRY_ALERT_MS',
    default: 5_000,
    min: 100,
    max: 600_000,
    about: 'how often alerts are judged',
  }),
  recentBytesMax: integer({
    env: 'TRIVET_TELEMETRY_RECENT_BYTES_MAX',
    default: 67_108_864,
    min: 65_536,
    max: 1_000_000_000_000,
    about: 'bytes of the events, errors and log records that are kept for queries, of each kind',
  }),
  recentAgeMs: integer({
    env: 'TRIVET_TELEMETRY_RECENT_AGE_MS',
    default: 259_200_000,
    min: 1_000,
    max: 31_536_000_000,
    about: 'how long events, errors and log records are kept for queries',
  }),
  historyBytesMax: integer({
    env: 'TRIVET_TELEMETRY_HISTORY_BYTES_MAX',
    default: 268_435_456,
    min: 1_048_576,
    max: 1_000_000_000_000,
    about: 'bytes of the history of series: every ten seconds for an hour, then coarser for thirty days',
  }),
  pipelines: text<string | undefined>({
    env: 'TRIVET_TELEMETRY_PIPELINES',
    default: undefined,
    about:
      'JSON file with destinations, rules, redaction and enrichment (docs/pipelines.md); read again when it changes',
  }),
  otlpHost: text({
    env: 'TRIVET_OTLP_HOST',
    default: '127.0.0.1',
    about: 'address on which OTLP is received; another than loopback needs TRIVET_OTLP_TOKEN',
  }),
  otlpHttpPort: portOrOff({
    env: 'TRIVET_OTLP_HTTP_PORT',
    default: 4318,
    about: 'port for OTLP over HTTP; 0 is any free one, which the log names; off is none',
  }),
  otlpGrpcPort: portOrOff({
    env: 'TRIVET_OTLP_GRPC_PORT',
    default: 4317,
    about: 'port for OTLP over gRPC; 0 is any free one, which the log names; off is none',
  }),
  otlpToken: text<string | undefined>({
    env: 'TRIVET_OTLP_TOKEN',
    default: undefined,
    about: 'the bearer token that senders of OTLP must have; without it whoever reaches the ports may send',
    secret: true,
  }),
  statsdPort: portOrOff({
    env: 'TRIVET_STATSD_PORT',
    default: 'off',
    about: 'UDP port for StatsD, such as 8125; off is none',
  }),
  statsdHost: text({
    env: 'TRIVET_STATSD_HOST',
    default: '127.0.0.1',
    about: 'address on which StatsD is received; UDP knows no tokens',
  }),
  statsdSource: text({
    env: 'TRIVET_STATSD_SOURCE',
    default: 'statsd',
    about: 'source of StatsD metrics without a tag source or service',
  }),
} as const;
