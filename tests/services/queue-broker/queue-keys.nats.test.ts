import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { auditLog } from '#tests/support/log-auditor.ts';
import {
  type Reply,
  type RunningQueue,
  headersOf,
  leased,
  listed,
  replyOf,
  shown,
  startQueue,
} from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

const atOnce = 100;

const killBroker = async () => {
  await broker.kill();
  broker = await queue.startBroker();
};
const restartBroker = async () => {
  expect(await broker.stop()).toBe(0);
  broker = await queue.startBroker();
};

/** A hundred requests with one key at once: half of them alone, half in batches of ten. */
const crowd = (name: string, key: string, item: object = {}): Promise<readonly Reply[]> =>
  Promise.all(
    Array.from({ length: atOnce / 2 }, (_, n) =>
      queue.ask(name, 'enqueue-many', { items: [{ payload: n, key, ...item }] }),
    ).concat(
      Array.from({ length: atOnce / 20 }, (_, n) =>
        queue.ask(name, 'enqueue-many', {
          items: Array.from({ length: 10 }, (_, m) => ({ payload: [n, m], key, ...item })),
        }),
      ),
    ),
  );

const answers = (replies: readonly Reply[]) =>
  replies.flatMap(
    ({ body }) => (body as { items: { id: string; duplicate: boolean; replaced?: true }[] }).items,
  );

test('a hundred duplicates at once are one item, before and after a restart and a kill', async () => {
  const first = answers(await crowd('crowd', 'k'));
  expect(first).toHaveLength(atOnce);
  expect(first.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  for (const again of [restartBroker, killBroker]) {
    await again();
    const later = answers(await crowd('crowd', 'k'));
    expect(later).toHaveLength(atOnce);
    expect(later.every(({ duplicate }) => duplicate)).toBe(true);
    expect(new Set([...first, ...later].map(({ id }) => id)).size).toBe(1);
  }
  expect(listed(await queue.ask('crowd', 'list'))).toHaveLength(1);
});

test('a hundred duplicates that a kill interrupts are one item', async () => {
  const asked = Array.from({ length: 20 }, (_, n) => `interrupted-${n}`).map(async (key) => {
    const tries = Array.from({ length: atOnce / 20 }, () => untilAnswered('interrupted', key));
    return new Set((await Promise.all(tries)).map(({ id }) => id)).size;
  });
  await killBroker();
  expect(new Set(await Promise.all(asked))).toEqual(new Set([1]));
  expect(listed(await queue.ask('interrupted', 'list', { limit: 500 }))).toHaveLength(20);
});

/** Asks with one key until it is answered: what a client does whose answer was lost. */
async function untilAnswered(name: string, key: string): Promise<{ readonly id: string }> {
  for (;;) {
    const options = { headers: headersOf({ 'Nats-Msg-Id': key }), timeout: 1_000 };
    const subject = `trivet.queue.${name}.enqueue`;
    const message = await queue.client.request(subject, '1', options).catch(() => undefined);
    const reply = message === undefined ? undefined : replyOf(message);
    if (reply?.status === 0) return shown(reply);
  }
}

test('a hundred replacements at once leave one item with one of their payloads', async () => {
  const options = { onDuplicate: 'replace', delay: '1h' };
  const first = answers(await crowd('replaced', 'k', options));
  expect(first.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  expect(first.filter(({ replaced }) => replaced)).toHaveLength(atOnce - 1);
  await killBroker();
  const again = await queue.ask('replaced', 'enqueue', 'last', {
    'Nats-Msg-Id': 'k',
    'Trivet-On-Duplicate': 'replace',
  });
  expect(again.body).toEqual({
    id: first[0]?.id,
    queue: 'replaced',
    state: 'scheduled',
    priority: 'normal',
    duplicate: true,
    replaced: true,
  });
  expect(listed(await queue.ask('replaced', 'list'))).toMatchObject([
    { payload: 'last', state: 'scheduled' },
  ]);
});

test('debounce runs once, with the newest payload, when nobody has asked for that long', async () => {
  const values = { 'Nats-Msg-Id': 'k', 'Trivet-On-Duplicate': 'debounce', 'Trivet-Delay': '400ms' };
  const waiting = queue.ask('debounced', 'dequeue', { wait: '20s' });
  for (let n = 0; n < 5; n += 1) await queue.ask('debounced', 'enqueue', n, values);
  await restartBroker();
  const lastAskedAt = Date.now();
  await queue.ask('debounced', 'enqueue', 'last', values);
  const items = leased(await waiting);
  // The broker that was stopped sent the first dequeue away.
  const [item] = items.length > 0 ? items : leased(await queue.ask('debounced', 'dequeue', { wait: '20s' }));
  expect(item?.payload).toBe('last');
  const { transitions } = shown(await queue.ask('debounced', 'get', { id: item?.id }));
  const due = transitions.findLast(({ to }) => to === 'pending')?.at ?? '';
  expect(Date.parse(due)).toBeGreaterThanOrEqual(lastAskedAt + 400);
  expect(listed(await queue.ask('debounced', 'list'))).toHaveLength(1);
});

test('what is being worked on is not replaced: a new item is made, and the key stands for that one', async () => {
  const ask = (payload: unknown) =>
    queue.ask('worked-on', 'enqueue', payload, { 'Nats-Msg-Id': 'k', 'Trivet-On-Duplicate': 'replace' });
  const first = shown(await ask(1)).id;
  await queue.ask('worked-on', 'dequeue');
  const second = shown(await ask(2));
  expect(second).toMatchObject({ duplicate: false });
  expect(second.id).not.toBe(first);
  await killBroker();
  expect((await ask(3)).body).toMatchObject({ id: second.id, duplicate: true, replaced: true });
  await queue.ask('worked-on', 'cancel', { id: second.id });
  expect((await ask(4)).body).toMatchObject({ duplicate: false });
  expect(listed(await queue.ask('worked-on', 'list')).map(({ payload }) => payload)).toEqual([1, 3, 4]);
});

test('a plain publish replaces, too; one without a key says why it cannot', async () => {
  const values = { 'Trivet-On-Duplicate': 'replace', 'Trivet-Delay': '1h' };
  await queue.ask('published', 'enqueue', 'first', { ...values, 'Nats-Msg-Id': 'k' });
  await queue.publish('published', '"second"', { ...values, 'Nats-Msg-Id': 'k' });
  await queue.publish('published', '"third"', values);
  await expect
    .poll(async () => listed(await queue.ask('published', 'list')))
    .toMatchObject([
      { payload: 'second', state: 'scheduled' },
      {
        payload: 'third',
        state: 'failed',
        attempts: [{ error: { type: 'invalid_request', message: 'Trivet-On-Duplicate needs a key' } }],
      },
    ]);
});

test('the log of all this is sound', async () => {
  const { faults } = await auditLog(queue.server);
  expect(faults).toEqual([]);
});
