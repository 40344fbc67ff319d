import type { Clock } from '#shared/runtime/clock.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import type { AnnouncedService } from '#shared/runtime/service-protocol.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import { traceContextOf } from '#shared/runtime/trace-context.ts';
import type { Answered, CacheService } from './cache-service.ts';

/** SpanKind.SERVER of OpenTelemetry, whose package has its doors elsewhere. */
const serverSpan = 1;

/**
 * Counts and traces what was answered: the figures of the service protocol, a duration histogram by operation and
 * outcome, and a span for each request that came with a trace (the others would be traces of one span each).
 */
export function requestObserver(announced: AnnouncedService, telemetry: OwnTelemetry, clock: Clock) {
  const duration = telemetry.meter.createHistogram('trivet.cache.request.duration', {
    unit: 's',
    description: 'Duration of one request to the cache, a batch being one.',
  });
  return (message: Msg, { operation, refusal, startedMs, endedMs }: Answered): void => {
    const figures = announced.figures(operation === 'cluster-stats' ? 'stats' : 'requests');
    figures.count(
      startedMs,
      endedMs,
      refusal === undefined ? undefined : `${refusal.code}: ${refusal.message}`,
    );
    const attributes = {
      'trivet.cache.operation': operation,
      ...(refusal === undefined ? {} : { 'error.type': refusal.code }),
    };
    duration.record((endedMs - startedMs) / 1_000, attributes);
    if (message.headers?.has('traceparent') !== true) return;
    const wallMs = clock.nowMs();
    const options = { kind: serverSpan, attributes, startTime: wallMs - (endedMs - startedMs) };
    telemetry.tracer.startSpan(`cache ${operation}`, options, traceContextOf(message.headers)).end(wallMs);
  };
}

/** The sums over all namespaces, read when the metrics are exported. */
export function observeTotals(cache: CacheService, telemetry: OwnTelemetry): void {
  const { meter } = telemetry;
  for (const name of ['hits', 'misses', 'sets', 'deletes', 'evictions', 'expirations'] as const) {
    meter
      .createObservableCounter(`trivet.cache.${name}`, {
        description: `Number of ${name} since the node began.`,
      })
      .addCallback((result) => result.observe(cache.stats()[name]));
  }
  meter
    .createObservableGauge('trivet.cache.entries', { description: 'Entries held now.' })
    .addCallback((result) => result.observe(cache.stats().entries));
  meter
    .createObservableGauge('trivet.cache.bytes', {
      unit: 'By',
      description: 'Bytes held now, as quotas count.',
    })
    .addCallback((result) => result.observe(cache.stats().bytes));
}
