import type { FastifyInstance } from 'fastify';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import type { Authenticate } from './authentication.ts';
import { type CertificateFiles, reloadCertificate } from './certificate.ts';
import { cacheEndpoints } from './cache-endpoints.ts';
import { RequestFigures } from './core/request-figures.ts';
import type { Endpoint } from './endpoint.ts';
import { gatewayEndpoints } from './gateway-endpoints.ts';
import type { GuardRails } from './guard-rails.ts';
import { createHttpServer, httpsServer } from './http-server.ts';
import { mountEndpoints } from './mount.ts';
import { requestObserver } from './observation.ts';
import { registerOpenApi } from './openapi.ts';
import { queueEndpoints } from './queue-endpoints.ts';
import { Readiness } from './readiness.ts';
import { telemetryEndpoints } from './telemetry-endpoints.ts';

export interface GatewayOptions {
  readonly nats: Nats;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: OwnTelemetry;
  readonly authenticate: Authenticate;
  readonly host: string;
  /** 0 is any free one. */
  readonly port: number;
  readonly connectionsMax: number;
  readonly receiveMs: number;
  readonly payloadBytesMax: number;
  readonly guardRails: GuardRails;
  readonly trustProxy: string | undefined;
  readonly certificate: CertificateFiles | undefined;
}

/** The gateway as a service: HTTP on one side, requests over NATS on the other, and no rules in between. */
export function gatewayService(options: GatewayOptions): Service {
  const { clock, log, telemetry } = options;
  const figures = new RequestFigures();
  let app: FastifyInstance | undefined;
  let stopReloading = (): void => undefined;
  let draining = false;
  return {
    // It keeps nothing: what it needs to know, it is asked with.
    recover: () => Promise.resolve(),
    serve: async () => {
      const server = await createHttpServer({
        ...options,
        observe: requestObserver({ clock, figures, telemetry }),
      });
      app = server;
      await registerOpenApi(server);
      mountEndpoints(server, endpointsOf(options, figures, server), () => draining);
      await server.ready();
      const http = await server.listen({ host: options.host, port: options.port });
      if (options.certificate !== undefined)
        stopReloading = reloadCertificate(httpsServer(server), options.certificate, options);
      log.info({ http }, 'gateway listens');
      return { http };
    },
    drain: async () => {
      draining = true;
      stopReloading();
      await app?.close();
    },
  };
}

function endpointsOf(
  { nats, prefix, clock }: GatewayOptions,
  figures: RequestFigures,
  app: FastifyInstance,
): readonly Endpoint[] {
  const subjects = subjectsFor(prefix);
  const readiness = new Readiness(nats, clock);
  return [
    ...cacheEndpoints({ nats, subjects }),
    ...queueEndpoints({ nats, subjects, clock }),
    ...telemetryEndpoints({ nats, subjects }),
    ...gatewayEndpoints({ nats, subjects, readiness, figures, openApi: () => app.swagger() }),
  ];
}
