import { afterAll, beforeAll, expect, test } from 'vitest';
import { kvLeaseRecord } from '#shared/runtime/kv-lease-record.ts';
import { type Nats, connectNats } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { leaseRecordContract } from './lease-record.contract.ts';

let server: RunningNatsServer;
let nats: Nats;
let buckets = 0;

beforeAll(async () => {
  server = await startNatsServer({ config: 'plain' });
  nats = await connectNats({ url: server.url, name: 'lease' });
});

afterAll(async () => {
  await nats?.connection.close();
  await server?.stop();
});

const madeRecord = (bucket = `BUCKET_${(buckets += 1)}`) => kvLeaseRecord(nats, { bucket, replicas: 1 });

leaseRecordContract('in a KV bucket', () => Promise.resolve(madeRecord()));

test('a bucket that went missing is made again', async () => {
  const record = madeRecord('GOES');
  const revision = (await record.write({ node: 'a', instance: 'a1' }, 0)) ?? 0;
  await (await nats.manager()).streams.delete('KV_GOES');
  // The first try finds out, the next one makes the bucket.
  await record.write({ node: 'a', instance: 'a1' }, revision).catch(() => undefined);
  expect(await record.read()).toEqual({ owner: undefined, revision: 0 });
  expect(await record.write({ node: 'a', instance: 'a1' }, 0)).toBeGreaterThan(0);
});

test('what no process of ours wrote names no owner, and is written over', async () => {
  const record = madeRecord('FORGED');
  const revision = (await record.write({ node: 'a', instance: 'a1' }, 0)) ?? 0;
  // A PubAck that a publisher had nats-server send here, by its reply subject.
  nats.connection.publish('$KV.FORGED.owner', '{"stream":"TRIVET_INGEST","seq":1}');
  await nats.connection.flush();
  const read = await record.read();
  expect(read.owner).toBeUndefined();
  expect(read.revision).toBeGreaterThan(revision);
  expect(await record.write({ node: 'a', instance: 'a1' }, read.revision)).toBeGreaterThan(read.revision);
});
