import type { FastifyInstance } from 'fastify';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import { listening } from '#shared/runtime/listening.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import { Access } from './access.ts';
import { auditEndpoints } from './audit-endpoints.ts';
import { type CertificateFiles, reloadCertificate } from './certificate.ts';
import { cacheEndpoints } from './cache-endpoints.ts';
import { clusterEndpoints } from './cluster-endpoints.ts';
import { RequestFigures } from './core/request-figures.ts';
import { registerDocsPage } from './docs-page.ts';
import type { Endpoint } from './endpoint.ts';
import { eventEndpoints } from './event-endpoints.ts';
import { EventStreams } from './event-stream.ts';
import { gatewayEndpoints } from './gateway-endpoints.ts';
import { type GuardRails, requestLimits } from './guard-rails.ts';
import { createHttpServer, httpsServer } from './http-server.ts';
import type { Identity } from './identity.ts';
import { itemOwners } from './item-owners.ts';
import { LiveEvents } from './live-events.ts';
import { mountEndpoints } from './mount.ts';
import { requestObserver } from './observation.ts';
import { registerOpenApi } from './openapi.ts';
import { otlpEndpoints } from './otlp-endpoints.ts';
import { queueEndpoints } from './queue-endpoints.ts';
import { Readiness } from './readiness.ts';
import { pageHeaders } from './security-headers.ts';
import { sessionEndpoint } from './session-endpoint.ts';
import { Sessions } from './sessions.ts';
import { registerSignIn } from './sign-in.ts';
import { telemetryEndpoints } from './telemetry-endpoints.ts';
import { tokenEndpoints } from './token-endpoints.ts';

export interface GatewayOptions {
  readonly nats: Nats;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: OwnTelemetry;
  readonly identity: Identity;
  readonly sessionSecret: string | undefined;
  readonly host: string;
  /** 0 is any free one. */
  readonly port: number;
  readonly connectionsMax: number;
  readonly receiveMs: number;
  readonly eventStreamsMax: number;
  /** Of one principal. */
  readonly eventStreamsEachMax: number;
  readonly payloadBytesMax: number;
  readonly guardRails: GuardRails;
  readonly trustProxy: string | undefined;
  readonly certificate: CertificateFiles | undefined;
}

/** Connections that are still busy so long after a drain began are closed. Below the limit of the whole (lifecycle.ts). */
const drainMsMax = 7_000;

/** The gateway as a service: HTTP on one side, requests over NATS on the other, and no rules in between. */
export function gatewayService(options: GatewayOptions): Service {
  const { clock, log, telemetry } = options;
  const figures = new RequestFigures();
  const events = new LiveEvents({ ...options, subjects: subjectsFor(options.prefix) });
  const streams = new EventStreams({ events, clock });
  let app: FastifyInstance | undefined;
  let stopReloading = (): void => undefined;
  let draining = false;
  return {
    // It keeps nothing: what it needs to know, it is asked with.
    recover: () => Promise.resolve(),
    serve: async () => {
      const { identity } = options;
      const isTls = options.certificate !== undefined;
      const sessions = new Sessions({
        authenticate: identity.authenticate,
        clock,
        secret: options.sessionSecret,
        isTls,
      });
      const server = await createHttpServer({
        ...options,
        sessions,
        audit: identity.audit,
        observe: requestObserver({ clock, figures, telemetry }),
      });
      app = server;
      await registerOpenApi(server);
      registerSignIn(server, {
        sessions,
        authenticate: identity.authenticate,
        audit: identity.audit,
        pageHeaders: pageHeaders(isTls),
        countRefused: requestLimits(server, options.guardRails).refused,
      });
      const access = new Access({
        audit: identity.audit,
        auditEverything: identity.auditEverything,
        ownerOf: itemOwners(options.nats, subjectsFor(options.prefix)),
      });
      await registerDocsPage(server, isTls);
      const endpoints = endpointsOf(options, { figures, streams, app: server });
      mountEndpoints(server, endpoints, { access, sessions, isDraining: () => draining });
      await server.ready();
      const { host, port } = options;
      const http = await listening({ host, port, settings: 'TRIVET_HTTP_HOST and TRIVET_HTTP_PORT' }, () =>
        server.listen({ host, port }),
      );
      if (options.certificate !== undefined)
        stopReloading = reloadCertificate(httpsServer(server), options.certificate, options);
      log.info({ http }, 'gateway listens');
      return { http };
    },
    drain: async () => {
      draining = true;
      stopReloading();
      // They would never end by themselves.
      streams.close();
      events.stop();
      // Who never ends his request, or never reads his answer, must not cost the audit its end.
      const cancel = clock.after(drainMsMax, () => app?.server.closeAllConnections());
      await app?.close();
      cancel();
    },
  };
}

interface GatewayParts {
  readonly figures: RequestFigures;
  readonly streams: EventStreams;
  readonly app: FastifyInstance;
}

function endpointsOf(
  { nats, prefix, clock, identity, eventStreamsMax, eventStreamsEachMax }: GatewayOptions,
  { figures, streams, app }: GatewayParts,
): readonly Endpoint[] {
  const subjects = subjectsFor(prefix);
  const readiness = new Readiness(nats, subjects, clock);
  return [
    ...cacheEndpoints({ nats, subjects, clock }),
    ...queueEndpoints({ nats, subjects, clock }),
    ...telemetryEndpoints({ nats, subjects }),
    ...otlpEndpoints({ nats, subjects }),
    ...eventEndpoints({ streams, streamsMax: eventStreamsMax, streamsEachMax: eventStreamsEachMax }),
    ...clusterEndpoints({ nats, clock }),
    sessionEndpoint(),
    ...tokenEndpoints({ credentials: identity.credentials, clock }),
    ...auditEndpoints({
      stream: identity.auditStream,
      heads: identity.auditHeads,
      publicKey: identity.auditKey.publicKey,
    }),
    ...gatewayEndpoints({ nats, subjects, readiness, figures, streams, openApi: () => app.swagger() }),
  ];
}
