import { type Msg, type NatsConnection, headers } from '@nats-io/transport-node';
import { cacheRequests } from '#shared/protocol/cache-schemas.ts';
import { decode, encodingOf } from '#shared/protocol/encoding.ts';
import { errorTable, isErrorCode } from '#shared/protocol/errors.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { telemetryQueries } from '#shared/protocol/telemetry-queries.ts';
import { telemetryKinds } from '#shared/protocol/telemetry-records.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';
import { fuzzedBody, headerText } from './mutations.ts';

const subjects = subjectsFor('trivet');
const names = ['fuzz', 'other', '-', 'Q'.repeat(64)];
const headerNames = [
  'Content-Type',
  'Accept',
  'Nats-Msg-Id',
  'Trivet-Priority',
  'Trivet-Delay',
  'Trivet-Run-At',
  'Trivet-Max-Attempts',
  'Trivet-Backoff',
  'Trivet-Group',
  'Trivet-On-Duplicate',
  'traceparent',
  'x-any',
];

/** Every public subject that is answered. */
const asked = [
  ...names.flatMap((name) => [
    ...['enqueue', ...Object.keys(queueRequests), 'no-such-operation'].map((word) =>
      subjects.queue(name, word),
    ),
    ...[...Object.keys(cacheRequests), 'no-such-operation'].map((word) => subjects.cache(name, word)),
  ]),
  ...[...Object.keys(telemetryQueries), 'no-such-query'].map((word) => subjects.telemetryQuery(word)),
  subjects.queueStats,
  subjects.queueList,
  subjects.cacheStats,
];

/** Every public subject that streams take. */
const published = [
  ...names.map((name) => subjects.jobs(name)),
  ...[...telemetryKinds, 'no-such-kind'].map((kind) => subjects.telemetry(kind)),
  ...(['metrics', 'logs', 'traces'] as const).map((signal) => subjects.otlp(signal)),
];

/** What may wait for longer than the test does: it is asked for to wait. */
const patient = /\.(dequeue|result|load)$/;

/**
 * One message to one subject.
 * @returns what was wrong with the answer, undefined when it was a good one or a coded error
 */
export async function attackNats(
  connection: NatsConnection,
  random: SeededRandom,
): Promise<string | undefined> {
  const made = headers();
  for (let count = random.integer(0, 3); count > 0; count -= 1)
    made.set(random.pick(headerNames), headerText(random));
  const body = fuzzedBody(random);
  if (random.chance(0.25)) {
    connection.publish(random.pick(published), body, { headers: made });
    return undefined;
  }
  const subject = random.pick(asked);
  try {
    const reply = await connection.request(subject, body, { timeout: 5_000, headers: made });
    const fault = faultOf(reply);
    return fault === undefined ? undefined : `${subject}: ${fault}`;
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    if (patient.test(subject) && name === 'TimeoutError') return undefined;
    return `${subject}: ${String(error)} for ${body.toString('latin1').slice(0, 200)}`;
  }
}

/** What is wrong with a reply; nothing, when it is a value or an error with a code and status of the table. */
function faultOf(reply: Msg): string | undefined {
  const encoding = encodingOf(reply.headers?.get('Content-Type'));
  if (encoding === undefined) return `a reply of type ${reply.headers?.get('Content-Type')}`;
  const decoded = decode(reply.data, encoding);
  if (!decoded.ok) return `a reply that cannot be read: ${decoded.error.message}`;
  const status = reply.headers?.get('Nats-Service-Error-Code') ?? '';
  if (status === '') return undefined;
  const { code } = (decoded.value as { error?: { code: string } }).error ?? { code: 'none' };
  if (!isErrorCode(code)) return `an error with the code ${code}`;
  if (code === 'internal') return `internal: ${JSON.stringify(decoded.value)}`;
  return String(errorTable[code].status) === status ? undefined : `${code} with status ${status}`;
}
