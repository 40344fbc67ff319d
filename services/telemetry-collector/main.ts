import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock as clock } from '#shared/runtime/clock.ts';
import { runService } from '#shared/runtime/service-process.ts';
import { version } from '#shared/runtime/version.ts';
import { Collector } from './collector-service.ts';
import { defaultLimits } from './core/series.ts';
import { JetStreamDeadLetters } from './dead-letters.ts';
import { Destinations } from './destinations.ts';
import { HeldMessages, heldLimits } from './held-messages.ts';
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
    const { name, otlpEndpoint: endpoint, ackWaitMs } = config;
    const fail = (error: Error) => ending.fail(error);
    const subjects = subjectsFor(config.prefix);
    const streams = streamsFor(config.prefix);
    const { replicas, streamBytesMax, deadBytesMax, levelMin, flushMs, metricsPort } = config;
    const limits = { replicas, streamBytesMax, deadBytesMax, ackWaitMs };
    const stream = new TelemetryStream({ nats, subjects, streams, ...limits, clock, log });
    const store = new LmdbStateStore(config.data, config.recentMax);
    const totals = new Totals({ ...defaultLimits, perSourceMax: config.seriesMax });
    const held = new HeldMessages(heldLimits(nats.connection.info?.max_payload), clock);
    const deadLetters = new JetStreamDeadLetters({ nats, subjects, streams, clock, log });
    const destinations = new Destinations({
      endpoint,
      instance: name,
      env,
      clock,
      random01: Math.random,
      log,
    });
    const turn = { totals, held, store, deadLetters, outlet: destinations };
    const collector = new Collector({ ...turn, clock, levelMin, flushMs, fail });
    const parts = { nats, subjects, stream, store, totals, held, collector, destinations, telemetry };
    return new TelemetryProcess({ ...parts, name, version, ackWaitMs, metricsPort, clock, log, fail });
  },
});
