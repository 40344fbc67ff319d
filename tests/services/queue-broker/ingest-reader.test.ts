import { expect, test } from 'vitest';
import { IngestReader } from '#services/queue-broker/ingest-reader.ts';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import type { JsMsg, Nats } from '#shared/runtime/nats.ts';
import { MadePartition } from './made-partition.ts';

/** The ingest stream as its reader sees it: messages by their sequences, and what was purged. */
class Publishes {
  readonly #messages = new Map<number, Uint8Array>();
  readonly #clock: Clock;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  publish(body: string): void {
    this.#last += 1;
    this.#messages.set(this.#last, Buffer.from(body));
  }

  get nats(): Nats {
    const streams = {
      purge: (_: string, { seq }: { seq: number }) => {
        for (const known of this.#messages.keys()) if (known < seq) this.#messages.delete(known);
        return Promise.resolve({});
      },
    };
    const get = (_: string, { opt_start_seq: from }: { opt_start_seq: number }) =>
      Promise.resolve({ consume: () => Promise.resolve(this.#consume(from)) });
    const fake = { js: { consumers: { get } }, manager: () => Promise.resolve({ streams }) };
    return fake as unknown as Nats;
  }

  #consume(from: number) {
    const state = { open: true };
    const messages = this.#messages;
    const clock = this.#clock;
    const last = () => this.#last;
    async function* read(): AsyncIterable<JsMsg> {
      for (let seq = from; state.open;) {
        const data = messages.get(seq);
        if (data !== undefined) yield { seq, subject: 'trivet.ingest.0.mail', data } as unknown as JsMsg;
        if (seq <= last()) seq += 1;
        else await sleep(clock, 10);
      }
    }
    const close = () => {
      state.open = false;
      return Promise.resolve();
    };
    return Object.assign(read(), { close });
  }
}

test('a publish for which the log had no room is taken in later, and those behind it after it', async () => {
  const made = await MadePartition.make({}, 100_000);
  const { clock, partition } = made;
  await made.enqueue([{ payload: 'x'.repeat(70_000) }]);
  const publishes = new Publishes(clock);
  const reader = new IngestReader(
    {
      nats: publishes.nats,
      subjects: subjectsFor('trivet'),
      streams: streamsFor('trivet'),
      partitions: 1,
      replicas: 1,
      bytesMax: 100_000,
      clock,
      log: createLog('test', 'silent'),
    },
    partition,
    0,
    'ingest',
  );
  void reader.run();
  // They are read while nothing is decided; the first of them fill the log.
  const held = partition.atRest(() => sleep(clock, 50));
  for (let n = 1; n <= 10; n += 1) publishes.publish(JSON.stringify(`${n} ${'x'.repeat(10_000)}`));
  await clock.until(held);
  await clock.advance(3_000);
  expect(partition.gauge.hasRoom('always')).toBe(false);

  await clock.until(partition.renewFence());
  await clock.until(partition.purgeLog(partition.table.epoch));
  publishes.publish(JSON.stringify('11 '));
  await clock.advance(3_000);
  // What fits is taken in, then there is no room again: the log is emptied until all are there.
  for (let times = 0; times < 10; times += 1) {
    await clock.until(partition.renewFence());
    await clock.until(partition.purgeLog(partition.table.epoch));
    await clock.advance(3_000);
  }
  const numbers: (string | undefined)[] = [];
  for (let order = 2; order < partition.table.nextOrder; order += 1)
    numbers.push(/\d+/.exec(Buffer.from(partition.table.payload(order) ?? []).toString())?.[0]);
  expect(numbers).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11']);
  await reader.stop();
});
