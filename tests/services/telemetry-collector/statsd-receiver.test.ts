import { createSocket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { Burial } from '#services/telemetry-collector/collector-service.ts';
import { StatsdReceiver } from '#services/telemetry-collector/statsd-receiver.ts';

interface Told {
  readonly name: string;
  readonly value: number;
}

/** A receiver in front of a NATS that takes messages of at most `bytesMax` bytes, and none while it is away. */
async function receiving(bytesMax: number) {
  const stream = { isAway: false, records: [] as Told[], letters: [] as Burial[] };
  const nats = {
    connection: { info: { max_payload: bytesMax } },
    js: {
      publish: (_subject: string, body: Uint8Array) => {
        if (stream.isAway) return Promise.reject(new Error('no stream'));
        if (body.length > bytesMax) return Promise.reject(new Error('max_payload size exceeded'));
        stream.records.push(...(JSON.parse(Buffer.from(body).toString()) as Told[]));
        return Promise.resolve();
      },
    },
  } as unknown as Nats;
  const receiver = new StatsdReceiver({
    host: '127.0.0.1',
    port: 0,
    source: 'statsd',
    nats,
    subjects: subjectsFor('trivet'),
    deadLetters: {
      bury: (letters) => {
        stream.letters.push(...letters);
        return Promise.resolve();
      },
    },
    clock: systemClock,
    log: createLog('statsd-test', 'silent'),
  });
  const port = await receiver.start();
  const socket = createSocket('udp4');
  onTestFinished(() => void socket.close());
  const say = (...lines: readonly string[]): Promise<void> =>
    new Promise((resolve) => socket.send(lines.join('\n'), port, '127.0.0.1', () => resolve()));
  return { receiver, stream, say };
}

const until = async (isSo: () => boolean): Promise<void> => {
  for (let tries = 0; tries < 250 && !isSo(); tries += 1) await delay(20);
  expect(isSo()).toBe(true);
};

test('timings of a small rate with many tags are more than one message holds, and all arrive', async () => {
  const { receiver, stream, say } = await receiving(65_536);
  const tags = Array.from({ length: 30 }, (_, index) => `tag_${index}:a-value-of-a-tag`).join(',');
  await say(`wait:5|ms|@0.01|#${tags}`, `wait:6|ms|@0.01|#${tags}`);
  await say('after:1|c');
  await until(() => stream.records.length === 201);
  expect(stream.records.at(-1)).toMatchObject({ name: 'after', value: 1 });
  await receiver.stop();
});

test('a record that no message holds is a dead letter, and its neighbours pass', async () => {
  const { receiver, stream, say } = await receiving(4_096);
  const tags = Array.from({ length: 60 }, (_, index) => `tag_${index}:${'x'.repeat(100)}`).join(',');
  await say('before:1|c', `large:1|c|#${tags}`, 'after:1|c');
  await until(() => stream.records.length === 2);
  expect(stream.records.map(({ name }) => name)).toEqual(['before', 'after']);
  expect(stream.letters.map(({ letter }) => letter.reason)).toEqual(['invalid_record']);
  await receiver.stop();
});

test('the tags of a gauge have no order, for who says how it changes neither', async () => {
  const { receiver, stream, say } = await receiving(65_536);
  await say('depth:7|g|#a:1,b:2', 'depth:-2|g|#b:2,a:1');
  await until(() => stream.records.length === 2);
  expect(stream.records.at(-1)).toMatchObject({ name: 'depth', value: 5 });
  await receiver.stop();
});

test('a gauge that is changed goes on from what it was, however many others there are', async () => {
  const { receiver, stream, say } = await receiving(1_048_576);
  await say('depth:100|g');
  for (let from = 0; from < 12_120; from += 1_010) {
    const others = Array.from({ length: 1_010 }, (_, index) => `other.${from + index}:1|g`);
    await say(...others.slice(0, 505), 'depth:+1|g');
    await say(...others.slice(505));
    await until(() => stream.records.length === 1 + (from / 1_010 + 1) * 1_011);
  }
  const depths = stream.records.filter(({ name }) => name === 'depth');
  expect(depths.map(({ value }) => value)).toEqual(Array.from({ length: 13 }, (_, index) => 100 + index));
  await receiver.stop();
});

test('it ends while the stream is away', async () => {
  const { receiver, stream, say } = await receiving(65_536);
  stream.isAway = true;
  await say('hits:1|c', 'hits:2|c');
  await delay(300);
  await receiver.stop();
  expect(receiver.dropped).toBe(2);
});
