import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock as clock } from '#shared/runtime/clock.ts';
import { readConfig } from '#shared/runtime/config.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import { type Ending, type Service, runProcess } from '#shared/runtime/lifecycle.ts';
import { createLog } from '#shared/runtime/log.ts';
import { connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
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
const version = '0.1.0';

const { env } = process;
const read = readConfig(settings, { env, file: env['TRIVET_CONFIG'] });
const log = 'config' in read ? createLog(read.config.name, read.config.logLevel) : createLog(service, 'info');

runProcess({
  log,
  start: (ending) => {
    if ('faults' in read) throw new StartRefused(exitCodes.usage, read.faults.join('; '));
    return startCollector(read.config, ending);
  },
});

type Config = Extract<typeof read, { readonly config: unknown }>['config'];

async function startCollector(config: Config, ending: Ending): Promise<Service> {
  const { name, natsUser: user, natsPassword: password, otlpEndpoint: endpoint, ackWaitMs } = config;
  const fail = (error: Error) => ending.fail(error);
  const nats = await connectNats({
    url: config.natsUrl,
    user,
    password,
    name,
    inboxPrefix: serviceInboxPrefix,
    log,
  });
  const subjects = subjectsFor(config.prefix);
  const streams = streamsFor(config.prefix);
  const { replicas, streamBytesMax, deadBytesMax, levelMin, flushMs, metricsPort } = config;
  const limits = { replicas, streamBytesMax, deadBytesMax, ackWaitMs };
  const stream = new TelemetryStream({ nats, subjects, streams, ...limits, clock, log });
  const store = new LmdbStateStore(config.data, config.recentMax);
  const totals = new Totals({ ...defaultLimits, perSourceMax: config.seriesMax });
  const held = new HeldMessages(heldLimits(nats.connection.info?.max_payload), clock);
  const deadLetters = new JetStreamDeadLetters({ nats, subjects, streams, clock, log });
  const destinations = new Destinations({ endpoint, instance: name, env, clock, random01: Math.random, log });
  const turn = { totals, held, store, deadLetters, outlet: destinations };
  const collector = new Collector({ ...turn, clock, levelMin, flushMs, fail });
  const telemetry = startTelemetry({ service, instance: name, version, otlpEndpoint: endpoint });
  const parts = { nats, subjects, stream, store, totals, held, collector, destinations, telemetry };
  return new TelemetryProcess({ ...parts, name, version, ackWaitMs, metricsPort, clock, log, fail });
}
