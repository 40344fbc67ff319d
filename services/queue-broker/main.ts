import { randomUUID } from 'node:crypto';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { commonSettings, configFile, integer, processSettings, readConfig } from '#shared/runtime/config.ts';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { type Ending, type Service, runProcess } from '#shared/runtime/lifecycle.ts';
import { createLog } from '#shared/runtime/log.ts';
import { connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import { EndpointFigures, announceService } from '#shared/runtime/service-protocol.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { Broker, brokerGroup } from './broker.ts';
import { brokerObserver } from './observation.ts';

const version = '0.1.0';
const settings = {
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
} as const;

const read = readConfig(settings, { env: process.env, file: configFile(process) });
if ('faults' in read) {
  for (const fault of read.faults) process.stderr.write(`queue-broker: ${fault}\n`);
  process.exit(exitCodes.usage);
}
const { config } = read;
const log = createLog(config.name, config.logLevel);

async function start(ending: Ending): Promise<Service> {
  const telemetry = startTelemetry({
    service: 'trivet-queue',
    instance: config.name,
    version,
    ...(config.otlpEndpoint === undefined ? {} : { otlpEndpoint: config.otlpEndpoint }),
  });
  const nats = await connectNats({
    url: config.natsUrl,
    user: config.natsUser,
    password: config.natsPassword,
    name: config.name,
    inboxPrefix: serviceInboxPrefix,
    log,
  });
  const subjects = subjectsFor(config.prefix);
  const figures = new EndpointFigures();
  const endpoint = { name: 'queue', subject: subjects.queueAll, queueGroup: brokerGroup, figures };
  const description = { name: 'trivet-queue', version, description: 'The job queue', endpoints: [endpoint] };
  const broker = new Broker({
    ...config,
    nats,
    subjects,
    streams: streamsFor(config.prefix),
    clock: systemClock,
    log,
    observer: brokerObserver(figures, telemetry),
    instance: randomUUID(),
    random01: Math.random,
    ending,
  });
  return {
    recover: () => broker.start(),
    // Whoever looks for a broker finds one that serves.
    serve: () => {
      announceService(nats, description, config.name);
      return Promise.resolve({});
    },
    drain: async () => {
      await broker.drain();
      await nats.connection.drain();
      await telemetry.shutdown();
    },
  };
}

runProcess({ log, start });
