import {
  type Attributes as OtelAttributes,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
} from '@opentelemetry/api';
import { millisToHrTime } from '@opentelemetry/core';
import {
  JsonLogsSerializer,
  JsonMetricsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufMetricsSerializer,
  ProtobufTraceSerializer,
} from '@opentelemetry/otlp-transformer';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { ATTR_SERVICE_NAME } from '@opentelemetry/semantic-conventions';
import type { LogEntry, Origin, SpanEntry } from './core/interpret.ts';
import { type Chunk, chunksOf } from './core/otlp-chunks.ts';
import { LogRecordEncoder, scopeName } from './core/otlp-log-records.ts';
import { MetricsEncoder } from './core/otlp-metrics.ts';
import type { Labels, Series } from './core/series.ts';

const scope = { name: scopeName };

/** A record's part beside its place in the message. */
interface Placed<T> {
  readonly index: number;
  readonly entry: T;
}

/** Our records as OTLP requests (protobuf): spans by OpenTelemetry's own serializer, the rest by hand. */
export class OtlpEncoding {
  readonly #metrics: MetricsEncoder;
  readonly #logRecords = new LogRecordEncoder();
  readonly #latest: (Series | undefined)[] = [];
  // The serializers group by identity: one resource object a source. Bounded like the sources of the series table.
  readonly #resources = new Map<string, Resource>();

  /** @param instance name of this collector: two that share the work keep totals of their own */
  constructor(instance: string) {
    this.#metrics = new MetricsEncoder(instance);
  }

  /** Cumulative totals. Of a series that comes more than once, what was counted last. */
  totals(groups: readonly (readonly Series[])[]): Uint8Array {
    // Messages share their series, so most of what comes here is thrown away: by dense ids that is ten times as quick
    // as by a map.
    const latest = this.#latest;
    const ids: number[] = [];
    for (const group of groups) {
      for (const one of group) {
        while (latest.length <= one.id) latest.push(undefined);
        if (latest[one.id] === undefined) ids.push(one.id);
        latest[one.id] = one;
      }
    }
    const points: Series[] = [];
    for (const id of ids) {
      const one = latest[id];
      if (one !== undefined) points.push(one);
      latest[id] = undefined;
    }
    return this.#metrics.request(points, 'cumulative');
  }

  /** Points that carry a change alone; none of a series twice. */
  deltas(points: readonly Series[]): Uint8Array {
    return this.#metrics.request(points, 'delta');
  }

  logs(placed: readonly Placed<LogEntry>[]): readonly Chunk[] {
    return this.#logRecords.chunks(placed);
  }

  spans(placed: readonly Placed<SpanEntry>[]): readonly Chunk[] {
    // By source, as the serializer groups them: so places stay beside their spans.
    const sorted = [...Map.groupBy(placed, ({ entry }) => entry.source).values()].flat();
    const request = ProtobufTraceSerializer.serializeRequest(sorted.map(({ entry }) => this.#span(entry)));
    return chunksOf(request ?? new Uint8Array()).map((chunk) => ({
      ...chunk,
      places: chunk.places.map((place) => sorted[place]?.index ?? place),
    }));
  }

  #span(entry: SpanEntry): ReadableSpan {
    const context = { ...entry.parent, spanId: entry.spanId } satisfies SpanContext;
    const startTime = millisToHrTime(entry.startMs);
    return {
      name: entry.operation,
      kind: SpanKind.INTERNAL,
      spanContext: () => context,
      parentSpanContext: entry.parent satisfies Origin,
      startTime,
      endTime: millisToHrTime(entry.startMs + entry.durationMs),
      status: { code: entry.success ? SpanStatusCode.OK : SpanStatusCode.ERROR },
      attributes: attributesOf(entry.labels),
      links: [],
      events: [],
      duration: millisToHrTime(entry.durationMs),
      ended: true,
      resource: this.#resource(entry.source),
      instrumentationScope: scope,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  }

  #resource(source: string): Resource {
    const known = this.#resources.get(source);
    if (known !== undefined) return known;
    const resource = resourceFromAttributes({ [ATTR_SERVICE_NAME]: source });
    if (this.#resources.size >= resourcesMax) this.#resources.clear();
    this.#resources.set(source, resource);
    return resource;
  }
}

/** Sources of logs whose resource is kept; beyond that it is made anew. */
const resourcesMax = 1_000;

const attributesOf = (labels: Labels): OtelAttributes => Object.fromEntries(labels);

/** Reads how many of the request's items were refused in a success (OTLP's "partial success"). */
export type ReadPartial = (body: Uint8Array) => { readonly rejected: number; readonly reason?: string };

/** How many items a successful answer refuses, by signal. Throws when the body is no OTLP response. */
export const readPartial: Readonly<Record<'metrics' | 'logs' | 'traces', ReadPartial>> = {
  metrics: (body) => {
    const partial = ProtobufMetricsSerializer.deserializeResponse(body).partialSuccess;
    return partialOf(partial?.rejectedDataPoints, partial?.errorMessage);
  },
  logs: (body) => {
    const partial = ProtobufLogsSerializer.deserializeResponse(body).partialSuccess;
    return partialOf(partial?.rejectedLogRecords, partial?.errorMessage);
  },
  traces: (body) => {
    const partial = ProtobufTraceSerializer.deserializeResponse(body).partialSuccess;
    return partialOf(partial?.rejectedSpans, partial?.errorMessage);
  },
};

function partialOf(given: number | string | undefined, reason: string | undefined) {
  // Accounts are added up for ever: what is no number of records must not get into them.
  const rejected = Number(given ?? 0);
  return {
    rejected: Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0,
    ...(reason === undefined || reason === '' ? {} : { reason }),
  };
}

/** The same of an answer in JSON. */
export const readPartialJson: Readonly<Record<'metrics' | 'logs' | 'traces', ReadPartial>> = {
  metrics: (body) => {
    const partial = JsonMetricsSerializer.deserializeResponse(body).partialSuccess;
    return partialOf(partial?.rejectedDataPoints, partial?.errorMessage);
  },
  logs: (body) => {
    const partial = JsonLogsSerializer.deserializeResponse(body).partialSuccess;
    return partialOf(partial?.rejectedLogRecords, partial?.errorMessage);
  },
  traces: (body) => {
    const partial = JsonTraceSerializer.deserializeResponse(body).partialSuccess;
    return partialOf(partial?.rejectedSpans, partial?.errorMessage);
  },
};
