import { beforeEach, describe, expect, test } from 'vitest';
import type { Delivery } from '#services/telemetry-collector/inbox.ts';
import { Redeliveries } from '#services/telemetry-collector/redeliveries.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';

const pendingMax = 100;

let clock: ManualClock;
let names: string[];
let position: { deliveredThrough: number; lastSequence: number };
/** Sequences that the other collector has counted. */
let countedElsewhere: Set<number>;
/** Called while the others are asked. */
let onGather: () => void;
let fates: string[];

beforeEach(() => {
  clock = new ManualClock(Date.UTC(2026, 0, 1));
  names = ['here', 'there'];
  position = { deliveredThrough: 10, lastSequence: 1_000 };
  countedElsewhere = new Set();
  onGather = () => undefined;
  fates = [];
});

const redeliveries = () =>
  new Redeliveries({
    peers: {
      names: () => Promise.resolve(names),
      gather: (_operation, body) => {
        onGather();
        const value = (body as number[]).filter((sequence) => countedElsewhere.has(sequence));
        return Promise.resolve({ answers: [{ name: 'there', value }], silent: [] });
      },
    },
    position: () => Promise.resolve(position),
    pendingMax,
    isOwn: () => false,
    take: ({ sequence }) => fates.push(`${sequence} taken`),
    handOver: ({ sequence }, collector) => fates.push(`${sequence} to ${collector}`),
    clock,
  });

/** A message that JetStream says it delivers for the first time. */
const first = (sequence: number, bytes = 1): Delivery =>
  ({
    sequence,
    deliveries: 1,
    body: new Uint8Array(bytes),
    later: () => fates.push(`${sequence} later`),
  }) as unknown as Delivery;

const decided = () => clock.advance(1_000, () => Promise.resolve());

describe('after an interruption', () => {
  test('what the server may have forgotten goes to whoever has counted it, and the rest is taken at once', async () => {
    const some = redeliveries();
    await some.resume();
    countedElsewhere = new Set([11, 110, 111]);
    for (const sequence of [11, 12, 110, 111]) some.take(first(sequence));
    expect(fates).toEqual(['111 taken']);
    await decided();
    expect(fates).toEqual(['111 taken', '11 to there', '12 taken', '110 to there']);
  });

  test('what is newer than the stream was is new', async () => {
    position = { deliveredThrough: 990, lastSequence: 1_000 };
    const some = redeliveries();
    await some.resume();
    some.take(first(1_001));
    expect(fates).toEqual(['1001 taken']);
  });

  test('a collector that is alone asks nobody', async () => {
    names = ['here'];
    const some = redeliveries();
    await some.resume();
    some.take(first(11));
    expect(fates).toEqual(['11 taken']);
  });

  test('as long as nobody knows how much was forgotten, everything is asked about', async () => {
    const some = redeliveries();
    await some.resume();
    some.interrupted();
    countedElsewhere = new Set([900]);
    some.take(first(900));
    await decided();
    expect(fates).toEqual(['900 to there']);
  });

  test('an answer from before the server was lost again does not count', async () => {
    const some = redeliveries();
    await some.resume();
    onGather = () => some.interrupted();
    some.take(first(11));
    await decided();
    expect(fates).toEqual(['11 later']);
  });
});

test('what there is no room for while others are asked comes again later', async () => {
  const some = redeliveries();
  const megabyte = 1_048_576;
  for (let sequence = 1; sequence <= 20; sequence += 1) some.take(first(sequence, megabyte));
  expect(fates).toEqual(['17 later', '18 later', '19 later', '20 later']);
  await decided();
  expect(fates.filter((fate) => fate.endsWith('taken'))).toHaveLength(16);
});
