import { createHash, randomBytes } from 'node:crypto';
import { type Nats, subscribe } from './nats.ts';
import { isReplySubject } from './replies.ts';

/**
 * The NATS service protocol (ADR-32), so that `nats micro ls|info|stats|ping` sees every process.
 * Written here because `@nats-io/services` pins an older core.
 */
export interface ServiceDescription {
  /** `trivet-queue`, `trivet-cache`, `trivet-telemetry` or `trivet-gateway`. */
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly endpoints: readonly EndpointDescription[];
}

export interface EndpointDescription {
  readonly name: string;
  readonly subject: string;
  readonly queueGroup: string;
  /** Where its requests are counted. Default: figures of its own. */
  readonly figures?: EndpointFigures;
}

/** Counts one endpoint's requests; the owner of the endpoint calls `count` once for each. */
export class EndpointFigures {
  requests = 0;
  errors = 0;
  lastError = '';
  processingNs = 0;

  /** @param startedMs monotonic milliseconds at the request's arrival, `endedMs` at its answer */
  count(startedMs: number, endedMs: number, error?: string): void {
    this.requests += 1;
    this.processingNs += Math.max(0, Math.round((endedMs - startedMs) * 1e6));
    if (error === undefined) return;
    this.errors += 1;
    this.lastError = error;
  }
}

export interface AnnouncedService {
  readonly id: string;
  /** The figures of the endpoint of that name. */
  figures(endpoint: string): EndpointFigures;
  stop(): void;
}

/**
 * Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, for all, for the name and for this instance.
 * @param instance name of the process; its digest is the instance's id, since an id is one subject token
 */
export function announceService(nats: Nats, service: ServiceDescription, instance: string): AnnouncedService {
  const id = createHash('sha256').update(instance).update(randomBytes(8)).digest('hex').slice(0, 22);
  const started = new Date().toISOString();
  const figures = new Map(
    service.endpoints.map((endpoint) => [endpoint.name, endpoint.figures ?? new EndpointFigures()]),
  );
  const identity = { name: service.name, id, version: service.version, metadata: { process: instance } };
  const bodies = {
    PING: () => ({ type: 'io.nats.micro.v1.ping_response', ...identity }),
    INFO: () => ({
      type: 'io.nats.micro.v1.info_response',
      ...identity,
      description: service.description,
      endpoints: service.endpoints.map((one) => ({
        name: one.name,
        subject: one.subject,
        queue_group: one.queueGroup,
        metadata: {},
      })),
    }),
    STATS: () => ({
      type: 'io.nats.micro.v1.stats_response',
      ...identity,
      started,
      endpoints: service.endpoints.map((one) => endpointStats(one, figures.get(one.name))),
    }),
  };
  const subscriptions = Object.entries(bodies).flatMap(([verb, body]) =>
    [`$SRV.${verb}`, `$SRV.${verb}.${service.name}`, `$SRV.${verb}.${service.name}.${id}`].map((subject) =>
      subscribe(nats, subject, {}, (message) => {
        if (message.reply !== undefined && isReplySubject(message.reply))
          message.respond(JSON.stringify(body()));
      }),
    ),
  );
  return {
    id,
    figures: (endpoint) => {
      const found = figures.get(endpoint);
      if (found === undefined) throw new Error(`no endpoint ${endpoint} was announced`);
      return found;
    },
    stop: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}

function endpointStats(endpoint: EndpointDescription, figures: EndpointFigures | undefined) {
  const requests = figures?.requests ?? 0;
  const processing = figures?.processingNs ?? 0;
  return {
    name: endpoint.name,
    subject: endpoint.subject,
    queue_group: endpoint.queueGroup,
    num_requests: requests,
    num_errors: figures?.errors ?? 0,
    last_error: figures?.lastError ?? '',
    processing_time: processing,
    average_processing_time: requests === 0 ? 0 : Math.round(processing / requests),
  };
}
