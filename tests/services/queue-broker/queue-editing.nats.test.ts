import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { auditLog } from '#tests/support/log-auditor.ts';
import { type RunningQueue, leased, listed, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

const idOf = async (name: string, payload: unknown, values: Readonly<Record<string, string>> = {}) =>
  shown(await queue.ask(name, 'enqueue', payload, values)).id;

test('a waiting item gets another payload, in both encodings, and is handed out with it', async () => {
  const id = await idOf('edited', { old: true });
  const large = { text: 'x'.repeat(10_000) };
  expect((await queue.ask('edited', 'update', { id, payload: large })).body).toEqual({
    id,
    state: 'pending',
  });
  expect(shown(await queue.ask('edited', 'get', { id })).payload).toEqual(large);
  expect((await queue.ask('edited', 'stats')).body).toMatchObject({ bytes: JSON.stringify(large).length });
  await queue.askPacked('edited', 'update', { id, payload: { packed: [1, 2] } });
  const [item] = leased(await queue.askPacked('edited', 'dequeue'));
  expect(item).toMatchObject({ id, payload: { packed: [1, 2] }, contentType: 'application/msgpack' });
});

test('a delayed item is brought forward and served to who waits; a pending one is put off', async () => {
  const id = await idOf('moved', 1, { 'Trivet-Delay': '1h' });
  const waiting = queue.ask('moved', 'dequeue', { wait: '20s' });
  await queue.client.flush();
  expect((await queue.ask('moved', 'update', { id, delay: 0 })).body).toEqual({ id, state: 'pending' });
  expect(leased(await waiting)).toMatchObject([{ id }]);
  const other = await idOf('moved', 2);
  const runAt = new Date(Date.now() + 400).toISOString();
  expect((await queue.ask('moved', 'update', { id: other, runAt })).body).toEqual({
    id: other,
    state: 'scheduled',
  });
  expect(leased(await queue.ask('moved', 'dequeue'))).toEqual([]);
  expect(leased(await queue.ask('moved', 'dequeue', { wait: '20s' }))).toMatchObject([{ id: other }]);
  const { transitions } = shown(await queue.ask('moved', 'get', { id: other }));
  const claimedAt = transitions.find(({ to }) => to === 'processing')?.at ?? '';
  expect(Date.parse(claimedAt)).toBeGreaterThanOrEqual(Date.parse(runAt));
});

test('an edit survives a killed broker, and one that is worked on is not edited', async () => {
  const id = await idOf('kept', 1, { 'Trivet-Delay': '1h', 'Trivet-Priority': 'low' });
  await queue.ask('kept', 'update', { id, payload: 'edited', priority: 'high', delay: '2h', maxAttempts: 9 });
  const before = shown(await queue.ask('kept', 'get', { id }));
  await broker.kill();
  broker = await queue.startBroker();
  expect(shown(await queue.ask('kept', 'get', { id }))).toEqual(before);
  expect(before).toMatchObject({ payload: 'edited', priority: 'high', maxAttempts: 9, state: 'scheduled' });
  await queue.ask('kept', 'update', { id, delay: 0 });
  await queue.ask('kept', 'dequeue');
  expect(await queue.ask('kept', 'update', { id, payload: 1 })).toMatchObject({
    status: 409,
    body: { error: { code: 'wrong_state', details: { id, state: 'processing' } } },
  });
});

test('a payload that is too large is refused, and the old one stays', async () => {
  const id = await idOf('large-edit', 'small');
  const payload = 'x'.repeat(1_048_577);
  expect(await queue.ask('large-edit', 'update', { id, payload })).toMatchObject({
    status: 413,
    body: { error: { details: { field: 'payload' } } },
  });
  expect(listed(await queue.ask('large-edit', 'list'))).toMatchObject([{ payload: 'small' }]);
});

test('the log of all this is sound', async () => {
  const { faults } = await auditLog(queue.server);
  expect(faults).toEqual([]);
});
