import { expect, test } from 'vitest';
import { BrokerWatch } from '#shared/client/broker-watch.ts';
import { EventIteration } from '#shared/client/queue-events.ts';
import type { QueueChannel } from '#shared/client/queue-channel.ts';
import { WorkerWire } from '#shared/client/worker-wire.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';

// Questions of one dequeue that are under way together, since another broker serves.

const subjects = subjectsFor('trivet');

interface Question {
  readonly operation: string;
  readonly body: unknown;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: Error) => void;
}

/** A wire whose questions are answered by the test. */
function wireByHand() {
  const questions: Question[] = [];
  let isClosed = false;
  let tell: (() => void) | undefined;
  const connection = {
    isClosed: () => isClosed,
    status: async function* () {},
    subscribe: (_: string, { callback }: { callback: (error: Error | null) => void }) => {
      if (isClosed) throw new Error('closed connection');
      tell = () => callback(null);
    },
    request: (subject: string, data: Uint8Array) => {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      questions.push({
        operation: subject.slice(subject.lastIndexOf('.') + 1),
        body: JSON.parse(Buffer.from(data).toString()),
        answer: (value) => resolve({ data: encode(value, json) }),
        fail: reject,
      });
      return promise;
    },
  };
  const nats = { connection } as unknown as Nats;
  const brokers = new BrokerWatch(nats, subjects);
  const wire = new WorkerWire({
    nats,
    subjects,
    clock: systemClock,
    brokers,
    queue: 'mails',
    leaseMs: 30_000,
    name: undefined,
  });
  return {
    wire,
    brokers,
    questions,
    tell: () => tell?.(),
    close: () => {
      isClosed = true;
    },
  };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 700));

test('what an older question brings besides is handed back, and what it repeats is not', async () => {
  const { wire, questions, tell } = wireByHand();
  const items = wire.dequeue(10);
  tell();
  tell();
  const [first, second, third] = questions;
  first?.answer({ items: [{ id: '0-1', token: 7 }] });
  expect(await items).toEqual({ ok: true, value: [{ id: '0-1', token: 7 }] });
  second?.answer({ items: [{ id: '0-1', token: 7 }] });
  third?.answer({ items: [{ id: '0-2', token: 9 }] });
  await expect.poll(() => questions.length).toBe(4);
  expect(questions[3]).toMatchObject({ operation: 'release', body: { items: [{ id: '0-2', token: 9 }] } });
  questions[3]?.answer({ items: [{}] });
});

test('nobody asks again for what has come already', async () => {
  const { wire, questions, tell } = wireByHand();
  const items = wire.dequeue(10);
  tell();
  const [first, second] = questions;
  second?.fail(new Error('no responders'));
  first?.answer({ items: [{ id: '0-1', token: 7 }] });
  await items;
  await settled();
  expect(questions.length).toBe(2);
});

test('nobody asks again on a connection that was closed for good', async () => {
  const { wire, questions, tell, close } = wireByHand();
  const items = wire.dequeue(10);
  tell();
  close();
  for (const { fail } of questions) fail(new Error('closed connection'));
  expect(await items).toMatchObject({ ok: false, error: { code: 'unavailable' } });
});

test('on a closed connection asking is refused, and nothing throws', async () => {
  const { wire, questions, close } = wireByHand();
  close();
  const items = wire.dequeue(10);
  questions[0]?.fail(new Error('closed connection'));
  expect(await items).toMatchObject({ ok: false, error: { code: 'unavailable' } });
});

test('of several states one that may not be heard ends the reading with a refusal', async () => {
  const ends: PromiseWithResolvers<unknown>[] = [];
  const nats = {
    connection: {
      subscribe: () => {
        const closed = Promise.withResolvers<unknown>();
        ends.push(closed);
        return { closed: closed.promise, unsubscribe: () => closed.resolve(undefined) };
      },
    },
  };
  const channel = { nats, subjects, queue: 'mails' } as unknown as QueueChannel;
  const events = new EventIteration(channel, { states: ['done', 'failed'] });
  const next = events.next();
  ends[0]?.resolve(new Error('permissions violation'));
  await expect(next).rejects.toMatchObject({ code: 'forbidden' });
});

test('an outcome is not told again and again on a connection that was closed for good', async () => {
  const { wire, questions, close } = wireByHand();
  const told = wire.settle('release', {
    texts: ['{"id":"0-1","token":1}'],
    fetch: 0,
    onFault: () => undefined,
  });
  close();
  questions[0]?.fail(new Error('closed connection'));
  expect(await told).toMatchObject({ ok: false, error: { code: 'unavailable' } });
  await settled();
  expect(questions).toHaveLength(1);
});

test('an outcome is told again once another broker serves, and what the first answer brings late is handed back', async () => {
  const { wire, questions, tell } = wireByHand();
  const faults: unknown[] = [];
  const told = wire.settle('complete', {
    texts: ['{"id":"0-1","token":1}'],
    fetch: 1,
    onFault: (fault) => faults.push(fault),
  });
  tell();
  await expect.poll(() => questions.length).toBe(2);
  questions[1]?.answer({ items: [{ id: '0-1', state: 'done' }], next: [{ id: '0-2', token: 7 }] });
  expect(await told).toMatchObject({ ok: true, value: { next: [{ id: '0-2' }] } });
  questions[0]?.answer({ items: [{ id: '0-1', state: 'done' }], next: [{ id: '0-3', token: 8 }] });
  await expect.poll(() => questions.length).toBe(3);
  expect(questions[2]).toMatchObject({ operation: 'release', body: { items: [{ id: '0-3', token: 8 }] } });
  questions[2]?.answer({ items: [{ id: '0-3', state: 'pending' }] });
  expect(faults).toEqual([]);
});
