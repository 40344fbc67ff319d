import { rm } from 'node:fs/promises';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { backUp, restore } from '#tests/support/stream-backup.ts';
import { logStates } from './long-run.ts';
import {
  type Reply,
  type RunningQueue,
  leased,
  listed,
  replyOf,
  shown,
  startQueue,
} from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;
let service: NatsConnection;
let manager: JetStreamManager;

beforeEach(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
  const { url, user, password } = queue.server;
  service = await connect({ servers: url, user, pass: password, inboxPrefix: '_INBOX_TRIVET' });
  manager = await jetstreamManager(service);
});

// Brokers are started anew several times, on a machine that may be busy.
const timeout = 120_000;

afterEach(async () => {
  await service.close();
  await queue.stop();
});

const compact = async (body = ''): Promise<Reply> =>
  replyOf(await service.request('trivet.queue-admin.compact', body, { timeout: 30_000 }));

/** The streams in which a message holds these bytes, in its body, headers or subject. */
async function streamsWith(marker: string): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { config, state } of manager.streams.list()) {
    if (state.messages === 0) continue;
    const consumer = await jetstream(service).consumers.get(config.name);
    const messages = await consumer.consume({ max_messages: 500 });
    for await (const { data, headers, subject, info } of messages) {
      const values = [...(headers ?? [])].flat(2).join(' ');
      if (`${subject} ${values} ${Buffer.from(data).toString('latin1')}`.includes(marker))
        found.push(config.name);
      if (info.pending === 0) break;
    }
    await messages.close();
  }
  return [...new Set(found)];
}

const done = (reply: Reply) => expect(reply).toMatchObject({ status: 0 });

test('what was purged is in no log and no snapshot after they were compacted', { timeout }, async () => {
  const marker = 'secret-4711-of-ann';
  const padding = 'x'.repeat(5_000);
  const items = [
    { payload: { text: marker } },
    { payload: { text: marker, padding } },
    { payload: 1, headers: { 'X-Name': marker } },
    { payload: 2, key: marker },
    { payload: 3, group: marker },
  ];
  done(await queue.ask('private', 'enqueue-many', { items }));
  done(await queue.ask('other', 'enqueue', { stays: true }));
  await queue.publish('private', JSON.stringify({ text: marker }));
  const pending = async () => listed(await queue.ask('private', 'list', {})).length;
  await expect.poll(pending).toBe(items.length + 1);
  const [one, two] = leased(await queue.ask('private', 'dequeue', { max: 2, worker: marker }));
  const { id, token } = one ?? { id: '', token: 0 };
  done(await queue.ask('private', 'complete', { id, token, result: { text: marker } }));
  const error = { message: marker, type: 'Private' };
  done(await queue.ask('private', 'fail', { id: two?.id, token: two?.token, error, retry: false }));
  expect(await streamsWith(marker)).not.toEqual([]);
  expect(await compact()).toMatchObject({ status: 0, body: { compacted: true } });
  // Not purged yet: it has moved from the logs to the snapshots.
  expect((await streamsWith(marker)).filter((name) => name.startsWith('OBJ_'))).not.toEqual([]);

  done(await queue.ask('private', 'purge', { all: true }));
  done(await compact());
  expect(await streamsWith(marker)).toEqual([]);

  await broker.kill();
  await rm(queue.data, { recursive: true });
  broker = await queue.startBroker();
  expect(listed(await queue.ask('private', 'list', {}))).toEqual([]);
  expect(listed(await queue.ask('other', 'list', {})).map(({ payload }) => payload)).toEqual([
    { stays: true },
  ]);
});

test(
  'a cluster goes on from a backup of logs, snapshots and publishes, with its tables and without',
  { timeout },
  async () => {
    const waiting = async () => listed(await queue.ask('mail', 'list', {})).map(({ payload }) => payload);
    done(await queue.ask('mail', 'enqueue', { letter: 1 }));
    done(await compact());
    done(await queue.ask('mail', 'enqueue', { letter: 2 }));
    await queue.publish('mail', JSON.stringify({ letter: 3 }));
    await expect.poll(async () => (await waiting()).length).toBe(3);
    await broker.stop();
    const names: string[] = [];
    for await (const { config } of manager.streams.list()) names.push(config.name);
    const kept = names.filter((name) => /_(LOG|SNAPSHOTS)_[0-9]+$|_INGEST$/.test(name));
    expect(kept.length).toBeGreaterThan(2);
    const backups = [];
    for (const name of kept) backups.push(await backUp(service, name, '_INBOX_TRIVET'));
    for (const name of names) await manager.streams.delete(name);
    for (const backup of backups) await restore(service, backup);

    const all = [{ letter: 1 }, { letter: 2 }, { letter: 3 }];
    broker = await queue.startBroker();
    expect(await waiting()).toEqual(all);
    done(await queue.ask('mail', 'enqueue', { letter: 4 }));
    await broker.stop();
    for (const name of kept) await manager.streams.delete(name);
    for (const backup of backups) await restore(service, backup);
    // The tables know more than the backup.
    await rm(queue.data, { recursive: true });
    broker = await queue.startBroker();
    expect(await waiting()).toEqual(all);
  },
);

test(
  'a broker that lost its folder goes on from snapshot and log, and one that is behind catches up',
  { timeout },
  async () => {
    for (let round = 0; round < 3; round += 1) {
      const items = Array.from({ length: 50 }, (_, index) => ({ payload: { round, index } }));
      done(await queue.ask('mail', 'enqueue-many', { items }));
    }
    const [held] = leased(await queue.ask('mail', 'dequeue', { lease: '1m' }));
    done(await compact());
    done(await queue.ask('mail', 'enqueue', { after: true }));
    await broker.kill();
    await rm(queue.data, { recursive: true });
    expect((await logStates(queue)).some(({ firstSequence }) => firstSequence > 4)).toBe(true);

    broker = await queue.startBroker();
    expect(await queue.ask('mail', 'stats')).toMatchObject({
      body: { counts: { pending: 150, processing: 1 } },
    });
    done(await queue.ask('mail', 'complete', { id: held?.id, token: held?.token }));
    expect(shown(await queue.ask('mail', 'get', { id: held?.id })).state).toBe('done');
  },
);

test('a truncation leaves publishes that are not taken in alone', { timeout }, async () => {
  await broker.stop();
  await queue.publish('mail', '{"early":true}');
  broker = await queue.startBroker();
  await expect.poll(async () => listed(await queue.ask('mail', 'list', {})).length).toBe(1);
  done(await compact());
  await broker.kill();
  await rm(queue.data, { recursive: true });
  await queue.publish('mail', '{"late":true}');
  broker = await queue.startBroker();
  await expect.poll(async () => listed(await queue.ask('mail', 'list', {})).length).toBe(2);
  const payloads = listed(await queue.ask('mail', 'list', {})).map(({ payload }) => payload);
  expect(payloads).toEqual([{ early: true }, { late: true }]);
});

test('only the services may have the logs compacted', { timeout }, async () => {
  await expect(queue.client.request('trivet.queue-admin.compact', '', { timeout: 2_000 })).rejects.toThrow(
    /permission/i,
  );
  expect(await compact('{"surplus":1}')).toMatchObject({
    status: 400,
    body: { error: { code: 'invalid_request' } },
  });
  expect(await compact('no json')).toMatchObject({ status: 400 });
});

test(
  'a log that is another one after a lost connection is noticed at once: nothing is served from it',
  { timeout },
  async () => {
    done(await queue.ask('mail', 'enqueue', 1));
    const partition = (await logStates(queue)).findIndex(({ lastSequence }) => lastSequence > 1);
    const stream = `TRIVET_LOG_${partition}`;
    const { config } = await manager.streams.info(stream);
    // The stream is another one after the server was away.
    await manager.streams.delete(stream);
    await manager.streams.add({ ...config, metadata: {} });
    await queue.server.restart();
    await expect
      .poll(() => broker.output(), { timeout: 20_000 })
      .toContain('the table belongs to a log made at');
  },
);
