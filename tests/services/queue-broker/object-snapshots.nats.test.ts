import { afterAll, beforeAll, expect, test } from 'vitest';
import { ObjectSnapshots } from '#services/queue-broker/object-snapshots.ts';
import { SnapshotFault } from '#services/queue-broker/snapshot-store.ts';
import { streamsFor } from '#shared/protocol/subjects.ts';
import { type JetStreamManager, type Nats, connectNats } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { snapshotStoreContract } from './snapshot-store.contract.ts';

const streams = streamsFor('trivet');

let server: RunningNatsServer;
let nats: Nats;
let manager: JetStreamManager;
let stores = 0;

beforeAll(async () => {
  server = await startNatsServer();
  nats = await connectNats({
    url: server.url,
    user: server.user,
    password: server.password,
    name: 'test',
    inboxPrefix: '_INBOX_TRIVET',
  });
  manager = await nats.manager();
});

afterAll(async () => {
  await nats.connection.close();
  await server.stop();
});

/** A store of its own for each test: the number of the partition is its name. */
function open() {
  stores += 1;
  const partition = stores;
  const stream = `OBJ_${streams.snapshots(partition)}`;
  return { stream, connect: () => new ObjectSnapshots({ nats, streams, partition, replicas: 1 }) };
}

snapshotStoreContract('snapshots in the NATS object store', () => {
  const { stream, connect } = open();
  return Promise.resolve({
    connect,
    dispose: async () => {
      await manager.streams.delete(stream).catch(() => false);
    },
  });
});

const subjectsOf = async (stream: string): Promise<readonly string[]> => {
  const { state } = await manager.streams.info(stream, { subjects_filter: '>' });
  return Object.keys(state.subjects ?? {});
};

test('nothing is left of what was removed, nor of a put that never ended', async () => {
  const { stream, connect } = open();
  const store = connect();
  await store.put('kept', Buffer.from('kept'));
  await store.put('removed', Buffer.from('removed'));
  const bucket = stream.slice('OBJ_'.length);
  await nats.js.publish(`$O.${bucket}.C.half-written`, Buffer.from('the beginning'));
  await store.remove(['removed']);
  await store.tidy();
  expect(await subjectsOf(stream)).toHaveLength(2);
  expect(await store.list()).toEqual(['kept']);
  expect(Buffer.from((await store.get('kept')) ?? []).toString()).toBe('kept');
});

test('an object that lacks a message is damaged, and nobody waits for it', async () => {
  const { stream, connect } = open();
  const store = connect();
  await store.put('a', new Uint8Array(600_000));
  const { state } = await manager.streams.info(stream);
  await manager.streams.deleteMessage(stream, state.first_seq);
  await expect(store.get('a')).rejects.toBeInstanceOf(SnapshotFault);
});

test('an object whose messages are other ones is damaged', async () => {
  const { stream, connect } = open();
  const store = connect();
  await store.put('a', new Uint8Array(100));
  const [chunk = ''] = (await subjectsOf(stream)).filter((subject) => subject.includes('.C.'));
  await manager.streams.purge(stream, { filter: chunk });
  await nats.js.publish(chunk, new Uint8Array(100).fill(1));
  await expect(store.get('a')).rejects.toBeInstanceOf(SnapshotFault);
});

test('a bucket that somebody removed is made again', async () => {
  const { stream, connect } = open();
  const store = connect();
  await store.put('a', new Uint8Array(1));
  await manager.streams.delete(stream);
  await expect(store.put('b', new Uint8Array(1))).rejects.toThrow();
  await store.put('b', new Uint8Array(1));
  expect(await store.list()).toEqual(['b']);
});
