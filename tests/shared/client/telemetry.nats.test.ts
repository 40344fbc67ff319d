import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '#shared/client/client.ts';
import { type Telemetry, createTelemetry } from '#shared/client/telemetry.ts';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { type Nats, connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';

const subjects = subjectsFor('trivet');
const stream = streamsFor('trivet').telemetry;
let server: RunningNatsServer;
let user: Nats;
let service: Nats;
let telemetry: Telemetry;

beforeAll(async () => {
  server = await startNatsServer();
  // The local user without a password: what any program on this machine can do.
  user = await connectNats({ url: server.url, name: 'user' });
  const { user: name, password } = server;
  service = await connectNats({
    url: server.url,
    name: 's',
    user: name,
    password,
    inboxPrefix: serviceInboxPrefix,
  });
  telemetry = createTelemetry(user, subjects, { source: 'shop', timeoutMs: 2_000 });
});

afterAll(async () => {
  await user.connection.close();
  await service.connection.close();
  await server.stop();
});

test('without a stream a record is refused as unavailable', async () => {
  await expect(telemetry.log({ message: 'nobody keeps this' })).rejects.toMatchObject({
    code: 'unavailable',
    retryable: true,
  });
  const manager = await service.manager();
  await manager.streams.add({ name: stream, subjects: [subjects.telemetryAll] });
});

/** Every message of the stream: its kind and its records. */
async function messages(): Promise<readonly { readonly subject: string; readonly records: unknown }[]> {
  const manager = await service.manager();
  const { state } = await manager.streams.info(stream);
  const sequences = Array.from({ length: state.messages }, (_, index) => state.first_seq + index);
  const stored = await Promise.all(sequences.map((seq) => manager.streams.getMessage(stream, { seq })));
  await manager.streams.purge(stream);
  return stored.flatMap((one) =>
    one === null ? [] : [{ subject: one.subject, records: one.json<unknown>() }],
  );
}

test('what is recorded in one turn is one message for each kind, stored when the promise resolves', async () => {
  await Promise.all([
    telemetry.counter('orders'),
    telemetry.counter('orders', 2, { tags: { region: 'eu' } }),
    telemetry.log({ message: 'opened' }),
    telemetry.gauge('depth', 3, { source: 'till' }),
  ]);
  expect(await messages()).toEqual([
    {
      subject: 'trivet.telemetry.metric',
      records: [
        { source: 'shop', name: 'orders', value: 1, type: 'counter' },
        { source: 'shop', name: 'orders', value: 2, type: 'counter', tags: { region: 'eu' } },
        { source: 'till', name: 'depth', value: 3, type: 'gauge' },
      ],
    },
    { subject: 'trivet.telemetry.log', records: [{ source: 'shop', message: 'opened' }] },
  ]);
});

test('a bad record is refused by name, and its neighbours are stored', async () => {
  const [bad, good] = await Promise.allSettled([
    telemetry.gauge('depth', Number.NaN),
    telemetry.gauge('depth', 1),
  ]);
  expect(bad).toMatchObject({
    status: 'rejected',
    reason: { code: 'invalid_request', details: { field: 'value' } },
  });
  expect(good.status).toBe('fulfilled');
  expect(await messages()).toHaveLength(1);
});

test('timed work keeps its outcome, and its duration is recorded', async () => {
  expect(await telemetry.time('add', () => 1 + 1, { size: 'small' })).toBe(2);
  await expect(telemetry.time('add', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  // Sent after the two, so stored after them.
  await telemetry.event({ name: 'done' });
  const performances = (await messages()).filter((one) => one.subject.endsWith('.performance'));
  expect(performances.flatMap((one) => one.records)).toMatchObject([
    { operation: 'add', success: true, tags: { size: 'small' } },
    { operation: 'add', success: false },
  ]);
});

test('an error is told with its type, its stack and what caused it', async () => {
  const error = new RangeError('too far', { cause: new Error('the map is old') });
  await telemetry.error(error, { attributes: { step: 3 } });
  const [{ records } = { records: [] }] = await messages();
  expect(records).toMatchObject([
    {
      message: 'too far',
      type: 'RangeError',
      stack: expect.stringMatching(
        /^RangeError: too far\n[^]*\nCaused by: Error: the map is old\n/,
      ) as string,
      attributes: { step: 3 },
    },
  ]);
});

test('what was recorded in the turn of a close is stored all the same', async () => {
  const trivet = await connect({ url: server.url, name: 'closing' });
  await trivet.telemetry.time('last', () => undefined);
  await trivet.close();
  expect(await messages()).toMatchObject([
    { subject: subjects.telemetry('performance'), records: [{ operation: 'last', source: 'closing' }] },
  ]);
});
