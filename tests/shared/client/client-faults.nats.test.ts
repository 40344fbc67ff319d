import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '#shared/client/client.ts';
import { natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;

beforeAll(async () => {
  client = await startClient();
});
afterAll(() => client.stop());

const startBroker = (server: RunningNatsServer) =>
  startService('queue-broker', {
    ...natsEnvironment(server),
    TRIVET_NAME: 'queue-broker-1',
    TRIVET_DATA: `${server.dir}/queue-broker-1`,
    TRIVET_PARTITIONS: '1',
  });

test('a listener to events that throws does not deafen its client', async () => {
  const other = await client.another();
  const queue = other.queue('thrown-at');
  let heard = 0;
  queue.on('pending', () => {
    heard += 1;
    throw new Error('a listener that is broken');
  });
  await queue.add(1);
  await expect.poll(() => heard, { timeout: 5_000 }).toBe(1);
  await queue.add(2);
  await expect.poll(() => heard, { timeout: 5_000 }).toBe(2);
});

test('results that are more together than this NATS takes at once are kept all the same', async () => {
  const server = await startNatsServer({ config: 'plain', payloadBytesMax: 1_048_576 });
  const broker = await startBroker(server);
  const other = await connect({ url: server.url });
  try {
    const gate = Promise.withResolvers<void>();
    let runs = 0;
    other.worker('large', async () => {
      runs += 1;
      if (runs === 8) gate.resolve();
      await gate.promise;
      return 'x'.repeat(200_000);
    });
    const added = await other
      .queue<number, string>('large')
      .addMany(Array.from({ length: 8 }, (_, payload) => ({ payload })));
    const results = added.map((one) =>
      one.status === 'fulfilled' ? one.value.result({ timeout: '10s' }) : Promise.resolve(''),
    );
    for (const result of await Promise.all(results)) expect(result).toHaveLength(200_000);
    expect(runs).toBe(8);
  } finally {
    await other.close({ timeout: '1s' });
    await broker.stop();
    await server.stop();
  }
});

test('a worker that waited when everything was started again takes the next item at once', async () => {
  const server = await startNatsServer();
  const broker = await startBroker(server);
  const other = await connect({ url: server.url });
  const worker = other.worker('started-again', () => 'done', { onError: () => undefined });
  const first = await other.queue('started-again').add(1);
  expect(await first.result({ timeout: '10s' })).toBe('done');
  // By now it asks for the next one, of a broker that will not be there again.
  await setTimeout(500);
  server.kill();
  await broker.kill();
  await server.restart();
  const next = await startBroker(server);
  const producer = await connect({ url: server.url });
  const added = await producer.queue('started-again').add(2);
  const state = async () => (await producer.queue('started-again').get(added.id)).state;
  await expect.poll(state, { timeout: 8_000 }).toBe('done');
  await worker.stop();
  await other.close();
  await producer.close();
  await next.stop();
  await server.stop();
});

test('a worker that waited when its broker was killed takes the next item from the one that follows', async () => {
  const server = await startNatsServer();
  const broker = await startBroker(server);
  const other = await connect({ url: server.url });
  const worker = other.worker('follows', () => 'done', { onError: () => undefined });
  const queue = other.queue('follows');
  expect(await (await queue.add(1)).result({ timeout: '10s' })).toBe('done');
  await setTimeout(500);
  await broker.kill();
  const next = await startBroker(server);
  const added = await queue.add(2);
  await expect.poll(async () => (await queue.get(added.id)).state, { timeout: 8_000 }).toBe('done');
  await worker.stop();
  await other.close();
  await next.stop();
  await server.stop();
});

test('an item with a key whose answer was lost with NATS is added again, and is there once', async () => {
  const server = await startNatsServer();
  const broker = await startBroker(server);
  const other = await connect({ url: server.url });
  const queue = other.queue('lost-answer');
  await queue.add(0);
  // The broker has heard of them, and never answers.
  process.kill(broker.pid, 'SIGSTOP');
  const added = queue.addMany([
    { payload: 1, options: { key: 'one' } },
    { payload: new Uint8Array([2]), options: { key: 'two' } },
  ]);
  await setTimeout(300);
  server.kill();
  await broker.kill();
  await server.restart();
  const next = await startBroker(server);
  const fromMs = performance.now();
  expect(await added).toEqual([
    expect.objectContaining({ status: 'fulfilled' }),
    expect.objectContaining({ status: 'fulfilled' }),
  ]);
  expect(performance.now() - fromMs).toBeLessThan(20_000);
  const { items } = await queue.list({ limit: 10 });
  const keysOf = items.map(({ key }) => key).filter((key) => key !== undefined);
  expect(keysOf.toSorted()).toEqual(['one', 'two']);
  await other.close();
  await next.stop();
  await server.stop();
}, 60_000);

test('an item with a key is added by the broker that follows the one that was killed', async () => {
  const server = await startNatsServer();
  const broker = await startBroker(server);
  const other = await connect({ url: server.url });
  const queue = other.queue('killed-broker');
  await queue.add(0);
  process.kill(broker.pid, 'SIGSTOP');
  const added = queue.add(1, { key: 'one' });
  await setTimeout(300);
  await broker.kill();
  const fromMs = performance.now();
  const next = await startBroker(server);
  expect((await added).id).toMatch(/./);
  expect(performance.now() - fromMs).toBeLessThan(20_000);
  await other.close();
  await next.stop();
  await server.stop();
}, 60_000);

test('what is added while no broker is there is added by the one that follows, with a key or without', async () => {
  const server = await startNatsServer();
  const broker = await startBroker(server);
  const other = await connect({ url: server.url });
  const queue = other.queue('gap');
  await queue.add(0);
  await broker.kill();
  const added = Promise.all([
    ...Array.from({ length: 20 }, (_, n) => queue.add(n)),
    queue.add('keyed', { key: 'one' }),
    queue.add(new Uint8Array([1])),
  ]);
  const next = await startBroker(server);
  const ids = (await added).map(({ id }) => id);
  const { items } = await queue.list({ limit: 100 });
  expect(items.map(({ id }) => id).filter((id) => ids.includes(id))).toHaveLength(22);
  expect(items).toHaveLength(23);
  await other.close();
  await next.stop();
  await server.stop();
}, 60_000);

test('closing while NATS is frozen ends the client in its time, whatever was to be told', async () => {
  const frozen = await startClient();
  const other = await connect({ url: frozen.server.url });
  const began = Promise.withResolvers<void>();
  const handler = async () => {
    began.resolve();
    await setTimeout(500);
  };
  other.worker('frozen', handler, { lease: '1h', onError: () => undefined });
  await other.queue('frozen').add(1);
  await began.promise;
  process.kill(frozen.server.pid, 'SIGSTOP');
  const fromMs = performance.now();
  await other.close({ timeout: '1s' });
  expect(performance.now() - fromMs).toBeLessThan(15_000);
  expect(other.nats.connection.isClosed()).toBe(true);
  process.kill(frozen.server.pid, 'SIGCONT');
  await frozen.stop();
}, 40_000);

test('closing while NATS is away ends the client', async () => {
  const server = await startNatsServer({ config: 'plain' });
  const other = await connect({ url: server.url });
  other.worker('away', () => undefined, { onError: () => undefined });
  server.kill();
  await expect
    .poll(() =>
      other.nats.connection.flush().then(
        () => 1,
        () => 0,
      ),
    )
    .toBe(0);
  await other.close({ timeout: '1s' });
  expect(other.nats.connection.isClosed()).toBe(true);
  await server.stop();
});

test('a client that was closed refuses to listen as it refuses all else, and a near cache ends nothing', async () => {
  const other = await client.another();
  await other.close();
  const unavailable = expect.objectContaining({ name: 'TrivetError', code: 'unavailable' }) as Error;
  expect(() => other.queue('closed').on('done', () => {})).toThrow(unavailable);
  expect(() => other.queue('closed').events()).toThrow(unavailable);
  // What it begins in the background would be an unhandled rejection, which ends a process.
  const cache = other.cache('closed', { near: true });
  await expect(cache.get('k')).rejects.toEqual(unavailable);
  await setTimeout(100);
});
