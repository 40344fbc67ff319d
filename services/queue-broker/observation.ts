import type { Refusal } from '#shared/protocol/errors.ts';
import type { Msg } from '#shared/runtime/nats.ts';
import type { EndpointFigures } from '#shared/runtime/service-protocol.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import { traceContextOf } from '#shared/runtime/trace-context.ts';
import type { StateEvent } from './core/state-event.ts';

/** One answered request. Times are monotonic milliseconds. */
export interface Answered {
  readonly operation: string;
  readonly queue: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly refusal?: Refusal | undefined;
}

/** What the broker tells of itself: names and attributes by OpenTelemetry's conventions for messaging. */
export interface Observer {
  answered(message: Msg, answered: Answered): void;
  appended(durationMs: number, facts: number): void;
  changed(events: readonly StateEvent[]): void;
}

/** SpanKind.SERVER of OpenTelemetry, whose package has its doors elsewhere. */
const serverSpan = 1;

/**
 * Counts and traces. A span is made for requests that came with a trace; the others would be traces of one span each.
 */
export function brokerObserver(figures: EndpointFigures, telemetry: OwnTelemetry): Observer {
  const { meter, tracer } = telemetry;
  const duration = meter.createHistogram('trivet.queue.request.duration', {
    unit: 's',
    description: 'From the arrival of a request to its answer; a dequeue that waits included.',
  });
  const append = meter.createHistogram('trivet.queue.append.duration', {
    unit: 's',
    description: 'From sending a record to the log until it is durable.',
  });
  const facts = meter.createHistogram('trivet.queue.append.facts', {
    description: 'Facts in one record of the log.',
  });
  const changes = meter.createCounter('trivet.queue.items', { description: 'Items that entered a state.' });
  return {
    answered: (message, { operation, queue, startedMs, endedMs, refusal }) => {
      figures.count(
        startedMs,
        endedMs,
        refusal === undefined ? undefined : `${refusal.code}: ${refusal.message}`,
      );
      const attributes = {
        'messaging.system': 'trivet',
        'messaging.operation.name': operation,
        ...(refusal === undefined ? {} : { 'error.type': refusal.code }),
      };
      duration.record((endedMs - startedMs) / 1_000, attributes);
      if (message.headers?.has('traceparent') !== true) return;
      const options = {
        kind: serverSpan,
        attributes: { ...attributes, 'messaging.destination.name': queue },
      };
      tracer.startSpan(`${operation} ${queue}`, options, traceContextOf(message.headers)).end();
    },
    appended: (durationMs, count) => {
      append.record(durationMs / 1_000);
      facts.record(count);
    },
    changed: (events) => {
      const byState = new Map<string, number>();
      for (const { state } of events) byState.set(state, (byState.get(state) ?? 0) + 1);
      for (const [state, count] of byState) changes.add(count, { 'trivet.queue.item.state': state });
    },
  };
}
