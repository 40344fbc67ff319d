import { randomUUID } from 'node:crypto';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { EndpointFigures, announceService } from '#shared/runtime/service-protocol.ts';
import { runService } from '#shared/runtime/service-process.ts';
import { version } from '#shared/runtime/version.ts';
import { Broker } from './broker.ts';
import { brokerObserver } from './observation.ts';
import { brokerGroup } from './queue-serving.ts';
import { queueSettings } from './settings.ts';
import { openTableStores } from './table-stores.ts';

const service = 'trivet-queue';

runService({
  service,
  version,
  settings: queueSettings,
  build: async ({ config, nats, telemetry, log, ending }) => {
    const tables = await openTableStores({ ...config, clock: systemClock, log });
    const subjects = subjectsFor(config.prefix);
    const figures = new EndpointFigures();
    const endpoint = { name: 'queue', subject: subjects.queueAll, queueGroup: brokerGroup, figures };
    const description = { name: service, version, description: 'The job queue', endpoints: [endpoint] };
    const broker = new Broker({
      ...config,
      nats,
      tables,
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
        tables.close();
      },
    };
  },
});
