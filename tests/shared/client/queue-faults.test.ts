import { afterEach, beforeEach, expect, test } from 'vitest';
import { connect } from '#shared/client/client.ts';
import { type TestTrivet, testTrivet } from '#services/queue-broker/testing.ts';

// What callers may do wrong, and what their values may be.

let trivet: TestTrivet;

beforeEach(async () => {
  trivet = await testTrivet({ now: '2026-01-01T00:00:00Z' });
});

afterEach(() => trivet.close({ timeout: 0 }));

const cycle: { self?: object } = {};
cycle.self = cycle;

test('options that are no options are refused alone', async () => {
  const queue = trivet.queue('letters');
  const outcomes = await Promise.allSettled([
    queue.add('good'),
    queue.add('bad', 'high' as never),
    queue.add('bad', [1, 2] as never),
    queue.add('bad', cycle as never),
    queue.add('good'),
  ]);
  expect(outcomes.map((one) => one.status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'rejected',
    'fulfilled',
  ]);
  for (const one of outcomes)
    if (one.status === 'rejected') expect(one.reason).toMatchObject({ details: { field: 'options' } });
});

test('what is no item is refused alone by addMany', async () => {
  const items = [{ payload: 1 }, null, undefined, { payload: 2 }] as never[];
  const outcomes = await trivet.queue('letters').addMany(items);
  expect(outcomes.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
});

test('null in the place of options is none, for one item as for many', async () => {
  const queue = trivet.queue('letters');
  expect(await queue.add(1, null as never)).toMatchObject({ state: 'pending' });
  const outcomes = await queue.addMany([{ payload: 2, options: null as never }]);
  expect(outcomes.map((one) => one.status)).toEqual(['fulfilled']);
});

test('who asks for several events at once gets each of them, and the end', async () => {
  const queue = trivet.queue('letters');
  const events = queue.events({ states: ['pending'] });
  const asked = [events.next(), events.next(), events.next()];
  const ids = [(await queue.add(1)).id, (await queue.add(2)).id];
  const [first, second] = await Promise.all(asked.slice(0, 2));
  expect([first?.value?.id, second?.value?.id]).toEqual(ids);
  await events.return?.();
  expect(await asked[2]).toEqual({ done: true, value: undefined });
});

test('of what is added in one turn as much goes in as there is room for, the first ones', async () => {
  const queue = trivet.queue('small');
  await queue.configure({ maxSize: 10 });
  const outcomes = await Promise.allSettled(Array.from({ length: 23 }, (_, n) => queue.add(n)));
  expect(outcomes.map((one) => one.status === 'fulfilled')).toEqual(
    Array.from({ length: 23 }, (_, n) => n < 10),
  );
  expect(outcomes.at(-1)).toMatchObject({ reason: { code: 'queue_full' } });
  expect((await trivet.items('small')).map(({ payload }) => payload)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('bytes stay bytes when an item is edited, and are refused where they cannot', async () => {
  const queue = trivet.queue<unknown, string>('bytes');
  const { id } = await queue.add(Buffer.from('one'), { delay: '1h' });
  await queue.update(id, { payload: Buffer.from('two'), delay: 0 });
  trivet.worker<unknown, string>('bytes', (payload) => Buffer.from(payload as Uint8Array).toString());
  expect(await queue.finished(id)).toBe('two');
  const payload = new Uint8Array(1);
  const flow = queue.flow({
    payload: 1,
    children: [{ queue: 'a', payload: 1, children: [{ queue: 'a', payload }] }],
  });
  await expect(flow).rejects.toMatchObject({ details: { field: 'children[0].children[0].payload' } });
  const schedule = queue.schedule('daily', { cron: '0 0 * * *', payload });
  await expect(schedule).rejects.toMatchObject({ details: { field: 'payload' } });
});

test('a refusal of bytes names the option, not the header that it became', async () => {
  const added = trivet.queue('bytes').add(new Uint8Array(1), { delay: 1.5 });
  await expect(added).rejects.toMatchObject({
    message: expect.stringContaining('invalid_request: delay must be a duration') as string,
    details: { field: 'delay' },
  });
});

test('what cannot be written is refused with a code, in every operation', async () => {
  const queue = trivet.queue<unknown>('cycles');
  const { id } = await queue.add(1, { delay: '1h' });
  const refused = { name: 'TrivetError', code: 'invalid_request' };
  await expect(queue.update(id, { payload: cycle })).rejects.toMatchObject(refused);
  await expect(queue.flow({ payload: cycle, children: [] })).rejects.toMatchObject(refused);
});

test('results and progress keep a member called __proto__', async () => {
  const value: unknown = JSON.parse('{"list":[{"__proto__":{"a":1},"b":2}]}');
  trivet.worker('names', (payload, job) => {
    job.progress(payload);
    return payload;
  });
  const queue = trivet.queue('names');
  const added = await queue.add(value);
  expect(JSON.stringify(await added.result())).toBe(JSON.stringify(value));
  expect(JSON.stringify((await queue.get(added.id)).progress)).toBe(JSON.stringify(value));
});

test('a result that is no JSON value says so', async () => {
  trivet.worker('odd', () => Symbol('odd'));
  await trivet.queue('odd').add(1, { maxAttempts: 1 });
  await trivet.idle();
  expect((await trivet.items('odd'))[0]?.attempts[0]?.error?.message).toContain(
    'result must be a JSON value',
  );
});

test('a later stop may give less time, and a worker of a closed client is refused', async () => {
  const other = await testTrivet();
  const never = new Promise<void>(() => undefined);
  const worker = other.worker('stuck', () => never);
  await other.queue('stuck').add(1);
  await other.clock.advance('10ms');
  const stopped = worker.stop();
  await other.close({ timeout: '1s' });
  await stopped;
  expect(() => other.worker('stuck', () => 1)).toThrow('the client was closed');
});

test('a lost lease is told once, however long its handler goes on', async () => {
  const told: string[] = [];
  const gate = Promise.withResolvers<void>();
  trivet.worker('lost', () => gate.promise, { onError: (error) => told.push(error.message) });
  await trivet.queue('lost').add(1, { timeout: '1s', maxAttempts: 1 });
  await trivet.clock.advance('5m');
  expect(told).toHaveLength(1);
  gate.resolve();
});

test('a worker or a queue that could only fail is refused when it is made', () => {
  const handler = () => 1;
  const field = (name: string) => expect.objectContaining({ details: { field: name } }) as Error;
  expect(() => trivet.worker('slips', undefined as never)).toThrow(field('handler'));
  for (const schema of [5, {}, { '~standard': {} }]) {
    expect(() => trivet.worker('slips', handler, { schema } as never)).toThrow(field('schema'));
    expect(() => trivet.queue('slips', { schema } as never)).toThrow(field('schema'));
  }
  for (const middleware of [5, [5]]) {
    expect(() => trivet.worker('slips', handler, { middleware } as never)).toThrow(field('middleware'));
    expect(() => trivet.queue('slips', { middleware } as never)).toThrow(field('middleware'));
  }
  expect(() => trivet.worker('slips', handler, { onError: 5 } as never)).toThrow(field('onError'));
  expect(() => trivet.queue('slips', { shema: {} } as never)).toThrow(field('shema'));
});

test.each(['url', 'user', 'password', 'token', 'prefix', 'name'])(
  'a %s of a connection that is no text is refused by name, before anybody is asked',
  async (field) => {
    const connecting = connect({ [field]: 5 });
    await expect(connecting).rejects.toMatchObject({ code: 'invalid_request', details: { field } });
  },
);

test('a handler hears that its attempt has had its time, however long the lease is', async () => {
  const reasons: unknown[] = [];
  trivet.worker(
    'slow',
    (_payload, job) =>
      new Promise((_resolve, reject) => {
        job.signal.addEventListener('abort', () => {
          reasons.push(job.signal.reason);
          reject(new Error('aborted'));
        });
      }),
    { lease: '1h', onError: () => undefined },
  );
  const { id } = await trivet.queue('slow').add(1, { timeout: '1s', maxAttempts: 1 });
  await trivet.clock.advance('999ms');
  expect(reasons).toEqual([]);
  await trivet.clock.advance('2s');
  expect(reasons).toMatchObject([{ code: 'lease_lost', message: expect.stringContaining('1000 ms') }]);
  expect(await trivet.queue('slow').get(id)).toMatchObject({
    state: 'failed',
    attempts: [{ error: { type: 'timeout' } }],
  });
});

test('a name that is no text is refused, and not taken for the text of it', () => {
  for (const name of [undefined, null, 7, ['letters']] as never[]) {
    expect(() => trivet.queue(name)).toThrow('queue must be 1 to 64 characters');
    expect(() => trivet.worker(name, () => undefined)).toThrow('queue must be 1 to 64 characters');
  }
});

test('events of a state that there is not are refused, since nobody would ever hear one', () => {
  const queue = trivet.queue('letters');
  const refusal = { code: 'invalid_request', details: { field: 'state' } };
  for (const state of ['completed', '*', undefined] as never[]) {
    expect(() => queue.on(state, () => undefined)).toThrow(expect.objectContaining(refusal));
    expect(() => queue.events({ states: ['done', state] })).toThrow(expect.objectContaining(refusal));
  }
});

test('who waits for a result hears why the item ended, and not what an earlier attempt left', async () => {
  const queue = trivet.queue('letters');
  trivet.worker('letters', () => Promise.reject(new Error('no server')));
  const options = { backoff: 'fixed:1h' };
  const old = await queue.add(1, { ...options, expires: '10m' });
  const cancelled = await queue.add(2, options);
  await trivet.idle();
  await queue.cancel(cancelled.id);
  await trivet.clock.advance('10m');
  await expect(old.result()).rejects.toThrow(
    `${old.id} has failed: it grew too old before it was handed out`,
  );
  await expect(cancelled.result()).rejects.toThrow(new RegExp(`${cancelled.id} was cancelled$`));
});

test('nothing in the place of an object is refused by its name', async () => {
  const queue = trivet.queue('letters');
  const { id } = await queue.add(1, { delay: '1h' });
  for (const none of [null, undefined, 'text'] as never[]) {
    for (const [field, asked] of [
      ['changes', queue.update(id, none)],
      ['schedule', queue.schedule('daily', none)],
      ['flow', queue.flow(none)],
    ] as const)
      await expect(asked).rejects.toMatchObject({ code: 'invalid_request', details: { field } });
  }
});
