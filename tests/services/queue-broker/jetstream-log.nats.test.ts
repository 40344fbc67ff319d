import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { JetStreamLog } from '#services/queue-broker/jetstream-log.ts';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import { type Nats, connectNats } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { partitionLogContract } from './partition-log.contract.ts';

let server: RunningNatsServer;
let connections: readonly Nats[];
let logs = 0;

beforeAll(async () => {
  server = await startNatsServer();
  const connection = (name: string) =>
    connectNats({ url: server.url, user: server.user, password: server.password, name });
  connections = await Promise.all([connection('one'), connection('other')]);
});

afterAll(async () => {
  await Promise.all(connections.map(({ connection }) => connection.close()));
  await server.stop();
});

partitionLogContract('the JetStream log', async () => {
  // A stream of its own for each test: the number of the partition is its name.
  logs += 1;
  const partition = logs;
  const streams = streamsFor('trivet');
  const manager = await nats(0).manager();
  let connected = 0;
  return {
    connect: () => {
      connected += 1;
      return JetStreamLog.open({
        nats: nats(connected - 1),
        subjects: subjectsFor('trivet'),
        streams,
        partition,
        replicas: 1,
        bytesMax: 16 * 1_048_576,
        clock: systemClock,
        log: createLog('test', 'silent'),
      });
    },
    wait: (promise) => promise,
    drop: async (sequence) => {
      await manager.streams.deleteMessage(streams.log(partition), sequence);
    },
    dispose: async () => {
      await manager.streams.delete(streams.log(partition));
    },
  };
});

test('a batch that is larger than NATS takes is refused, and not tried for ever', async () => {
  const log = await JetStreamLog.open({
    nats: nats(0),
    subjects: subjectsFor('trivet'),
    streams: streamsFor('trivet'),
    partition: 999,
    replicas: 1,
    bytesMax: 16 * 1_048_576,
    clock: systemClock,
    log: createLog('test', 'silent'),
  });
  const epoch = await log.raiseFence(new Uint8Array(1), 0);
  const appended = log.append(new Uint8Array(9 * 1_048_576), { epoch, lastSequence: epoch });
  await expect(appended).rejects.toThrow('max_payload');
  expect(await log.append(new Uint8Array(1), { epoch, lastSequence: epoch })).toBe(epoch + 1);
}, 10_000);

function nats(index: number): Nats {
  const found = connections[index];
  if (found === undefined) throw new Error('a third broker connects to the log');
  return found;
}

test('an append to a stream that somebody deleted says that it is gone, and lands once it is restored', async () => {
  const said: string[] = [];
  const streams = streamsFor('trivet');
  const options = {
    nats: nats(0),
    subjects: subjectsFor('trivet'),
    streams,
    partition: 998,
    replicas: 1,
    bytesMax: 16 * 1_048_576,
    clock: systemClock,
    log: pino({ base: null, timestamp: false }, { write: (line: string) => void said.push(line) }),
  };
  const log = await JetStreamLog.open(options);
  const epoch = await log.raiseFence(new Uint8Array(1), 0);
  const manager = await nats(0).manager();
  const { config } = await manager.streams.info(streams.log(998));
  await manager.streams.delete(config.name);
  const appended = log.append(new Uint8Array(1), { epoch, lastSequence: epoch });
  await expect.poll(() => said.join('')).toContain('the stream of the log is not there');
  expect(said.join('')).not.toContain('jetstream is not enabled');
  // The fence that stood there is what a restored copy has as well; it hears the next try only once that stands in it.
  const fence = subjectsFor('trivet').fence(998);
  await manager.streams.add({ ...config, subjects: [fence], first_seq: epoch });
  await nats(0).js.publish(fence, new Uint8Array(1));
  await manager.streams.update(config.name, { subjects: config.subjects });
  expect(await appended).toBe(epoch + 1);
});
