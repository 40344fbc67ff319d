import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock as clock } from '#shared/runtime/clock.ts';
import { runService } from '#shared/runtime/service-process.ts';
import { version } from '#shared/runtime/version.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import { Collector } from './collector-service.ts';
import { DropExamples } from './core/drop-examples.ts';
import { defaultLimits } from './core/series.ts';
import { JetStreamDeadLetters } from './dead-letters.ts';
import { Destinations } from './destinations.ts';
import { HeldMessages, heldLimits } from './held-messages.ts';
import { intakeOf } from './intake.ts';
import { OtlpEncoding } from './otlp-encoding.ts';
import { PipelinesFile } from './pipelines-file.ts';
import { settings } from './settings.ts';
import { LmdbStateStore } from './state-store.ts';
import { TelemetryProcess } from './telemetry-process.ts';
import { TelemetryStream } from './telemetry-stream.ts';
import { Totals } from './totals.ts';

const service = 'trivet-telemetry';
const { env } = process;

runService({
  service,
  version,
  settings,
  build: ({ config, nats, telemetry, log, ending }) => {
    const { name, ackWaitMs } = config;
    const fail = (error: Error) => ending.fail(error);
    const subjects = subjectsFor(config.prefix);
    const streams = streamsFor(config.prefix);
    const { replicas, streamBytesMax, deadBytesMax, levelMin, flushMs, metricsPort } = config;
    const limits = { replicas, streamBytesMax, deadBytesMax, ackWaitMs };
    const file = new PipelinesFile({
      path: config.pipelines,
      levelMin,
      endpoint: config.otlpEndpoint,
      env,
      webhookOrigins: config.webhooks.split(',').map((one) => one.trim()),
      ownSubjects: `${config.prefix}.otlp.v1`,
      clock,
      log,
    });
    const pipelines = file.load();
    if ('fault' in pipelines)
      throw new StartRefused(exitCodes.usage, `${config.pipelines ?? 'the environment'} ${pipelines.fault}`);
    process.on('SIGHUP', () => file.reload());
    const stream = new TelemetryStream({ nats, subjects, streams, ...limits, fail, clock, log });
    const store = new LmdbStateStore(config.data, {
      countMax: config.recentMax,
      bytesMax: config.recentBytesMax,
      ageMsMax: config.recentAgeMs,
      historyBytesMax: config.historyBytesMax,
    });
    const totals = new Totals({ ...defaultLimits, perSourceMax: config.seriesMax });
    const held = new HeldMessages(heldLimits(nats.connection.info?.max_payload), clock);
    const deadLetters = new JetStreamDeadLetters({ nats, subjects, streams, clock, log });
    const encoding = new OtlpEncoding(name);
    const destinations = new Destinations({
      encoding,
      deltas: store.deltas,
      fail,
      nats,
      clock,
      random01: Math.random,
      log,
    });
    destinations.apply(pipelines.destinations);
    const { rules, alerts } = pipelines;
    const examples = new DropExamples();
    const turn = { totals, held, store, deadLetters, stored: stream, outlet: destinations, rules, examples };
    const collector = new Collector({ ...turn, clock, flushMs, fail });
    const intake = intakeOf(config, { nats, subjects, deadLetters, destinations, clock, log });
    const parts = { nats, subjects, stream, store, totals, held, collector, destinations, telemetry };
    const own = { name, version, ackWaitMs, metricsPort, clock, log, fail };
    const together = { streams, replicas, alerts, alertMs: config.alertMs, examples };
    return new TelemetryProcess({ ...parts, ...own, ...together, file, intake });
  },
});
