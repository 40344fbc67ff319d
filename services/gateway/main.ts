import { systemClock } from '#shared/runtime/clock.ts';
import { runService } from '#shared/runtime/service-process.ts';
import { announceService } from '#shared/runtime/service-protocol.ts';
import { version } from '#shared/runtime/version.ts';
import { certificateFiles } from './certificate.ts';
import { gatewayService } from './gateway-service.ts';
import { openIdentity } from './identity.ts';
import { gatewaySettings } from './settings.ts';

const service = 'trivet-gateway';

runService({
  service,
  version,
  settings: gatewaySettings,
  build: async ({ config, nats, telemetry, log }) => {
    const identity = await openIdentity({
      config,
      localToken: config.token,
      nats,
      clock: systemClock,
      log,
    });
    const gateway = gatewayService({
      nats,
      prefix: config.prefix,
      clock: systemClock,
      log,
      telemetry,
      identity,
      sessionSecret: config.sessionSecret,
      host: config.httpHost,
      port: config.httpPort,
      connectionsMax: config.httpConnectionsMax,
      receiveMs: config.httpReceiveMs,
      payloadBytesMax: config.payloadBytesMax,
      eventStreamsMax: config.httpEventStreamsMax,
      eventStreamsEachMax: config.httpEventStreamsEachMax,
      trustProxy: config.httpTrustProxy,
      certificate: certificateFiles(config.httpTlsCertificate, config.httpTlsKey),
      guardRails: {
        corsOrigins: config.httpCorsOrigins,
        rate: config.httpRate,
        rateRefused: config.httpRateRefused,
      },
    });
    const description = { name: service, version, description: 'HTTP in front of Trivet', endpoints: [] };
    const announced = announceService(nats, description, config.name);
    return {
      recover: () => gateway.recover(),
      serve: () => gateway.serve(),
      drain: async () => {
        announced.stop();
        identity.audit.end();
        await gateway.drain();
        await identity.close();
      },
    };
  },
});
