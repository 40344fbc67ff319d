import { encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { TelemetryBody, TelemetryStats } from '#shared/protocol/http-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { type TelemetryQueryName, telemetryQueries } from '#shared/protocol/telemetry-queries.ts';
import { TelemetryResponse, type TelemetryType } from '#shared/protocol/telemetry-records.ts';
import { telemetryReplies } from '#shared/protocol/telemetry-replies.ts';
import { type Nats, headersOf } from '#shared/runtime/nats.ts';
import { ownKey } from './core/principal.ts';
import { sha256Hex } from './digest.ts';
import { type RejectedRecord, type SortedRecord, sortRecords } from './core/telemetry-records.ts';
import { ask } from './ask.ts';
import { type Answer, type Endpoint, endpoint } from './endpoint.ts';
import { camelCase } from './queue-operation-endpoints.ts';

export interface TelemetryEndpointsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
}

const publishMsMax = 10_000;

export const telemetryEndpoints = (options: TelemetryEndpointsOptions): readonly Endpoint[] => [
  endpoint({
    method: 'POST',
    url: '/telemetry/record',
    operationId: 'telemetryRecord',
    summary: 'Record metrics, events, performances, errors and logs',
    tag: 'telemetry',
    access: { operation: 'telemetry.record', resource: () => ({ kind: 'cluster' }) },
    body: TelemetryBody,
    idempotency: 'used',
    answers: {
      200: { about: 'The accepted records are durable; the others are listed.', schema: TelemetryResponse },
    },
    handle: ({ body, idempotencyKey, principal, traceHeaders }) =>
      record(options, body, { idempotencyKey: ownKey(principal, idempotencyKey, sha256Hex), traceHeaders }),
  }),
  endpoint({
    method: 'GET',
    url: '/telemetry/stats',
    operationId: 'telemetryStats',
    summary: 'Live figures of the collectors',
    tag: 'telemetry',
    access: { operation: 'telemetry.stats', resource: () => ({ kind: 'cluster' }) },
    answers: { 200: { about: 'The figures.', schema: TelemetryStats } },
    handle: ({ traceHeaders }) =>
      ask(options.nats, options.subjects.telemetryQuery('stats'), {}, { headers: traceHeaders }),
  }),
  ...queryEndpoints(options),
];

/** Every query of the protocol under its own name; one that is added to its table is here at once. */
const queryEndpoints = ({ nats, subjects }: TelemetryEndpointsOptions): readonly Endpoint[] =>
  (Object.keys(telemetryQueries) as TelemetryQueryName[])
    // The text of a scrape is at `/metrics`.
    .filter((query) => query !== 'prometheus')
    .map((query) =>
      endpoint({
        method: 'GET',
        url: `/v1/telemetry/${query}`,
        operationId: `telemetry${camelCase(query)}Query`,
        summary: `What the collectors know: ${query}`,
        tag: 'telemetry',
        access: { operation: `telemetry.${query}`, resource: () => ({ kind: 'cluster' }) },
        query: telemetryQueries[query],
        answers: { 200: { about: 'What the query answers.', schema: telemetryReplies[query] } },
        handle: ({ query: asked, traceHeaders }) =>
          ask(nats, subjects.telemetryQuery(query), asked, { headers: traceHeaders }),
      }),
    );

/** What a request says beside its records. */
interface Said {
  readonly idempotencyKey: string | undefined;
  readonly traceHeaders: Readonly<Record<string, string>>;
}

async function record(
  options: TelemetryEndpointsOptions,
  body: TelemetryBody,
  said: Said,
): Promise<Result<Answer>> {
  const records = Array.isArray(body) ? body : [body];
  const { byKind, rejected } = sortRecords(records);
  const outcomes = await Promise.all(
    [...byKind].map(([kind, sorted]) => publish(options, { kind, sorted }, said)),
  );
  const all = [...rejected, ...outcomes.flat()].sort((a, b) => a.index - b.index);
  const accepted = records.length - all.length;
  // Nothing stands beside a single record that would have to be told apart: its fault is the request's.
  const first = all[0];
  if (first !== undefined && (!Array.isArray(body) || allUnpublished(accepted, rejected)))
    return { ok: false, error: first.error };
  return accept({ status: 200, body: { accepted, rejected: all } });
}

/** Nothing was wrong with the records and none was taken: the whole request may be sent again. */
const allUnpublished = (accepted: number, rejected: readonly RejectedRecord[]): boolean =>
  accepted === 0 && rejected.length === 0;

/** Publishes the records of one kind as one message; a record counts as accepted once the stream has it. */
async function publish(
  { nats, subjects }: TelemetryEndpointsOptions,
  { kind, sorted }: { readonly kind: TelemetryType; readonly sorted: readonly SortedRecord[] },
  { idempotencyKey, traceHeaders }: Said,
): Promise<readonly RejectedRecord[]> {
  const headers = headersOf(traceHeaders);
  const message = encode(
    sorted.map(({ record: published }) => published),
    json,
  );
  try {
    await nats.js.publish(subjects.telemetry(kind), message, {
      timeout: publishMsMax,
      // The stream forgets ids after its duplicate window; each kind is a message of its own.
      ...(idempotencyKey === undefined ? {} : { msgID: `${kind}:${idempotencyKey}` }),
      ...(headers === undefined ? {} : { headers }),
    });
    return [];
  } catch (error) {
    const { error: refusal } = unpublished(error);
    return sorted.map(({ index }) => ({ index, error: refusal }));
  }
}

export function unpublished(error: unknown): { readonly error: Refusal } {
  // What the library says when no stream takes the subject; the collectors make the stream.
  if (error instanceof Error && error.name === 'JetStreamNotEnabled')
    return refuse('unavailable', 'no stream takes telemetry: has a telemetry-collector run on this NATS?');
  const text = error instanceof Error ? error.message : String(error);
  return refuse('unavailable', `the telemetry stream did not take the records: ${text}`);
}
