import { pack } from 'msgpackr';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type RunningQueue, leased, listed, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

const ids = async (name: string, request: object) =>
  listed(await queue.ask(name, 'list', request)).map((item) => item.id);

const user = (email: string, note = '') => ({ user: { email }, note });

test('declared fields are searched however an item came in, and after a restart', async () => {
  await queue.ask('found', 'enqueue', user('before@example.org'));
  await queue.ask('found', 'configure', { search: ['user.email'] });
  await queue.ask('found', 'enqueue', user('Json@Example.org', 'xyz'));
  await queue.askPacked('found', 'enqueue-many', { items: [{ payload: user('packed@example.org') }] });
  const packed = { 'Content-Type': 'application/msgpack' };
  await queue.send('trivet.queue.found.enqueue', pack(user('raw@example.org')), packed);
  await queue.publish('found', JSON.stringify(user('published@example.org')));
  await expect.poll(() => ids('found', {})).toHaveLength(5);
  for (const restart of [false, true]) {
    if (restart) {
      await broker.kill();
      broker = await queue.startBroker();
    }
    for (const who of ['json@', 'PACKED', 'raw@', 'published@'])
      for (const request of [{ q: who }, { fields: { 'user.email': who } }])
        expect([request, (await ids('found', request)).length]).toEqual([request, 1]);
    expect(await ids('found', { q: 'example' })).toHaveLength(4);
    expect(await ids('found', { q: 'before' })).toEqual([]);
    expect(await ids('found', { q: 'xyz' })).toEqual([]);
  }
});

test('what is searched follows the payload when an item is edited or replaced', async () => {
  await queue.ask('edited', 'configure', { search: ['user.email'] });
  const key = { 'Nats-Msg-Id': 'k' };
  const { id } = (await queue.ask('edited', 'enqueue', user('one@example.org'), key)).body as { id: string };
  await queue.ask('edited', 'update', { id, payload: user('two@example.org') });
  expect([await ids('edited', { q: 'one@' }), await ids('edited', { q: 'two@' })]).toEqual([[], [id]]);
  await queue.ask('edited', 'update', { id, priority: 'high' });
  expect(await ids('edited', { q: 'two@' })).toEqual([id]);
  const replace = { ...key, 'Trivet-On-Duplicate': 'replace' };
  await queue.ask('edited', 'enqueue', user('three@example.org'), replace);
  expect([await ids('edited', { q: 'two@' }), await ids('edited', { q: 'three@' })]).toEqual([[], [id]]);
});

test('items are listed by key, by the worker of their newest attempt, and by all filters together', async () => {
  await queue.ask('mixed', 'enqueue-many', {
    items: [
      { payload: { n: 1 }, key: 'k1', group: 'g', priority: 'high' },
      { payload: { n: 2 }, key: 'k2', group: 'g', priority: 'high' },
      { payload: { n: 3 }, group: 'g', priority: 'low' },
    ],
  });
  const [first, second, third] = await ids('mixed', {});
  const [item] = leased(await queue.ask('mixed', 'dequeue', { worker: 'ada' }));
  await queue.ask('mixed', 'fail', {
    id: item?.id,
    token: item?.token,
    error: { message: 'no' },
    delay: '0s',
  });
  leased(await queue.ask('mixed', 'dequeue', { worker: 'bob' }));
  expect(await ids('mixed', { key: 'k2' })).toEqual([second]);
  expect(await ids('mixed', { key: 'k' })).toEqual([]);
  expect(await ids('mixed', { worker: 'ada' })).toEqual([first]);
  expect(await ids('mixed', { worker: 'bob' })).toEqual([second]);
  expect(await ids('mixed', { group: 'g', priority: 'low', state: 'pending', q: '3' })).toEqual([third]);
  expect(await ids('mixed', { group: 'g', priority: 'high', state: 'processing', key: 'k2' })).toEqual([
    second,
  ]);
});
