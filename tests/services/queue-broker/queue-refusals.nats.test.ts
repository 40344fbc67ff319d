import { afterAll, beforeAll, expect, test } from 'vitest';
import { batchItems, queueRequests } from '#shared/protocol/queue-schemas.ts';
import { type BadRequest, badRequests } from '#tests/support/bad-requests.ts';
import { type RunningQueue, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

const id = '0-zzzz';
const item = { id, token: 1 };
const error = { message: 'no', type: 'Meant', stack: 'at' };

/** A request of each operation that has no fault of its own. */
const valid: Readonly<Record<keyof typeof queueRequests, object>> = {
  'enqueue-many': { items: [{ payload: 1 }] },
  dequeue: { max: 1, wait: '0s', lease: '1m', worker: 'w' },
  complete: { ...item, result: 1, fetch: { max: 1, lease: '1m' } },
  fail: { ...item, error, retry: true, delay: '1s', fetch: { max: 1 } },
  extend: { ...item, lease: '1m', progress: 1 },
  release: { ...item, delay: '1s' },
  'enqueue-flow': {
    payload: 1,
    onChildFailure: 'wait',
    key: 'k',
    priority: 'low',
    delay: '1s',
    children: [{ queue: 'bad', payload: 1 }],
  },
  children: { id },
  get: { id },
  result: { id, wait: '0s' },
  list: { state: 'pending', priority: 'low', group: 'g', key: 'k', worker: 'w', q: 'q', limit: 1 },
  stats: {},
  workers: {},
  cancel: { id, children: true },
  purge: { id },
  log: { ...item, lines: ['line'] },
  logs: { id, after: 1, limit: 1 },
  replay: { id },
  reprioritize: { id, priority: 'low' },
  update: {
    id,
    payload: 1,
    priority: 'low',
    delay: '1s',
    maxAttempts: 1,
    backoff: 'fixed:1s',
    timeout: '1s',
    expires: '1s',
  },
  pause: {},
  resume: {},
  configure: {
    maxAttempts: 3,
    backoff: 'fixed:1s',
    timeout: '1m',
    lease: '1m',
    dedupWindow: '1h',
    ordering: 'weighted',
    agingAfter: '1m',
    maxSize: 10,
    maxBytes: 1_000,
    concurrency: { total: 2 },
    rateLimit: { total: { count: 1, per: '1s' } },
    retention: { done: { age: '1h' } },
    search: ['user.email'],
  },
  describe: {},
};

const refusal = (field: string) => ({
  status: 400,
  body: { error: { code: 'invalid_request', details: { field } } },
});

const operations = Object.keys(valid) as (keyof typeof valid)[];

test.each(operations)(
  'every bad %s is refused by the field that is wrong, in both encodings',
  async (operation) => {
    const bad = [...badRequests(queueRequests[operation], valid[operation])];
    expect(bad.length).toBeGreaterThan(3);
    for (const { why, field, body } of bad) {
      for (const ask of ['ask', 'askPacked'] as const) {
        const reply = await queue[ask]('bad', operation, body);
        expect({ why, sent: body, ...reply }).toMatchObject(refusal(field));
      }
    }
  },
);

const fullItems: Readonly<Record<keyof typeof batchItems, object>> = {
  'enqueue-many': {
    payload: 1,
    priority: 'low',
    delay: '1s',
    maxAttempts: 1,
    backoff: 'fixed:1s',
    timeout: '1s',
    expires: '1s',
    group: 'g',
    key: 'k',
    onDuplicate: 'debounce',
    headers: { a: 'b' },
  },
  complete: { ...item, result: 1 },
  fail: { ...item, error, retry: true, delay: '1s' },
  extend: { ...item, lease: '1m' },
  release: { ...item, delay: '1s' },
};

test.each(Object.keys(batchItems) as (keyof typeof batchItems)[])(
  'a bad item among many refuses only itself in %s',
  async (operation) => {
    const good = fullItems[operation];
    for (const { why, field, body } of badRequests(batchItems[operation], good)) {
      const reply = await queue.ask('bad-items', operation, { items: [good, body, good] });
      const { items } = reply.body as { items: { error?: { code: string } }[] };
      const place = field === 'body' ? 'items[1]' : `items[1].${field}`;
      expect({ why, sent: body, item: items[1] }).toMatchObject({
        item: { error: { code: 'invalid_request', details: { field: place } } },
      });
      // The neighbours are decided on their own: enqueued, or not found since their id is made up.
      for (const neighbour of [items[0], items[2]])
        expect(neighbour?.error?.code).not.toBe('invalid_request');
    }
  },
);

test.each(['complete', 'fail', 'extend', 'release'] as const)(
  'a fault in the envelope of a batch refuses all of %s',
  async (operation) => {
    const items = [fullItems[operation]];
    const finishing = operation === 'complete' || operation === 'fail';
    const faults: readonly BadRequest[] = [
      { why: 'no item', field: 'items', body: { items: [] } },
      { why: 'no list', field: 'items', body: { items: {} } },
      { why: 'too many', field: 'items', body: { items: Array.from({ length: 1_001 }, () => items[0]) } },
      { why: 'unknown field', field: 'unknownField', body: { items, unknownField: 1 } },
      { why: 'both forms', field: 'id', body: { items, id } },
      finishing
        ? { why: 'bad fetch', field: 'fetch.max', body: { items, fetch: { max: 0 } } }
        : { why: 'no fetch here', field: 'fetch', body: { items, fetch: { max: 1 } } },
    ];
    for (const { why, field, body } of faults)
      expect({ why, ...(await queue.ask('bad', operation, body)) }).toMatchObject(refusal(field));
  },
);

const badHeaders: Readonly<Record<string, readonly string[]>> = {
  'Trivet-Priority': ['urgent', 'High', '1'],
  'Trivet-Delay': ['soon', '-1s', '1.5s', '1w', '9999999999999', '999999999999d'],
  'Trivet-Run-At': ['tomorrow', '2026-13-45T99:00:00Z', '2026-01-01', '99999999999999'],
  'Trivet-Max-Attempts': ['0', '1001', '1.5', 'five', '-1'],
  'Trivet-Backoff': ['linear:1s', 'fixed', 'exponential:1s', 'exponential:2h:1h', 'fixed:999999999d'],
  'Trivet-Timeout': ['0s', 'x', '999999999999d'],
  'Trivet-Expires': ['0', 'never', '999999999999d'],
  'Trivet-Group': ['g'.repeat(257)],
  'Trivet-On-Duplicate': ['drop', 'keep'],
  'Nats-Msg-Id': ['k'.repeat(257)],
  'Trivet-Prioritty': ['high'],
  'Content-Type': ['x'.repeat(257)],
  Accept: ['image/png'],
};

test.each(Object.entries(badHeaders))('enqueue refuses a bad %s by its name', async (header, values) => {
  for (const value of values) {
    const reply = await queue.ask('bad-headers', 'enqueue', 1, { [header]: value });
    expect({ value, ...reply }).toMatchObject(refusal(header));
  }
});

test('delay and run-at exclude each other, and headers of the user have their limits', async () => {
  const both = { 'Trivet-Delay': '1s', 'Trivet-Run-At': '2030-01-01T00:00:00Z' };
  expect(await queue.ask('bad-headers', 'enqueue', 1, both)).toMatchObject(refusal('Trivet-Run-At'));
  const many = Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`H-${n}`, 'x']));
  expect(await queue.ask('bad-headers', 'enqueue', 1, many)).toMatchObject(refusal('headers'));
  const long = await queue.ask('bad-headers', 'enqueue', 1, { Long: 'x'.repeat(1_025) });
  expect(long).toMatchObject(refusal('headers.Long'));
});

test.each([
  ['a line break', 'a\r\nb'],
  ['a line feed', 'a\nb'],
  ['NUL', 'a\0b'],
  ['half a surrogate pair', 'a\ud83d'],
])('%s stands in no header of an item, wherever it is enqueued', async (_, text) => {
  const schedule = (headers: object) => ({ schedules: { tick: { cron: '0 0 1 1 *', headers } } });
  for (const [name, headers] of [
    ['x', { x: text }],
    [text, { [text]: 'x' }],
  ] as const) {
    const items = [{ payload: 1, headers }, { payload: 2 }];
    expect((await queue.ask('bad-lines', 'enqueue-many', { items })).body).toMatchObject({
      items: [{ error: { details: { field: `items[0].headers.${name}` } } }, { state: 'pending' }],
    });
    const children = [{ queue: 'bad-lines', payload: 1, headers }];
    for (const [field, operation, body] of [
      [
        `headers.${name}`,
        'enqueue-flow',
        { payload: 1, headers, children: [{ ...children[0], headers: {} }] },
      ],
      [`children[0].headers.${name}`, 'enqueue-flow', { payload: 1, children }],
      [`schedules.tick.headers.${name}`, 'configure', schedule(headers)],
    ] as const)
      expect(await queue.ask('bad-lines', operation, body)).toMatchObject(refusal(field));
  }
});

test('nobody says whose an item is, in a flow and in a schedule neither', async () => {
  const headers = { 'Trivet-Owner': 'somebody' };
  const field = 'headers.Trivet-Owner';
  const children = [{ queue: 'owned', payload: 1, headers }];
  const schedules = { tick: { cron: '0 0 1 1 *', headers } };
  expect(await queue.ask('owned', 'enqueue-flow', { payload: 1, children })).toMatchObject(
    refusal(`children[0].${field}`),
  );
  expect(await queue.ask('owned', 'configure', { schedules })).toMatchObject(
    refusal(`schedules.tick.${field}`),
  );
});

test('what to do with a duplicate needs a key, and debounce a delay', async () => {
  const values = { 'Trivet-On-Duplicate': 'debounce', 'Nats-Msg-Id': 'k' };
  expect(await queue.ask('bad-keys', 'enqueue', 1, values)).toMatchObject(refusal('Trivet-Delay'));
  const at = { ...values, 'Trivet-Run-At': '2030-01-01T00:00:00Z' };
  expect(await queue.ask('bad-keys', 'enqueue', 1, at)).toMatchObject(refusal('Trivet-Delay'));
  const items = [
    { payload: 1, onDuplicate: 'replace' },
    { payload: 1, onDuplicate: 'debounce', key: 'k' },
  ];
  expect((await queue.ask('bad-keys', 'enqueue-many', { items })).body).toMatchObject({
    items: [
      { error: { details: { field: 'items[0].onDuplicate' } } },
      { error: { details: { field: 'items[1].delay' } } },
    ],
  });
  expect((await queue.ask('bad-keys', 'stats')).body).toMatchObject({ counts: { scheduled: 0, pending: 0 } });
});

test('an edit beyond what an item can be is refused by its field', async () => {
  for (const [field, value] of [
    ['delay', '9999d'],
    ['timeout', 0],
    ['expires', '0s'],
    ['backoff', 'exponential:2h:1h'],
    ['runAt', '2026-02-30T00:00:00Z'],
  ] as const)
    expect(await queue.ask('edits', 'update', { id, [field]: value })).toMatchObject(refusal(field));
  const both = { id, delay: '1s', runAt: '2030-01-01T00:00:00Z' };
  expect(await queue.ask('edits', 'update', both)).toMatchObject(refusal('runAt'));
  expect(await queue.ask('edits', 'update', { id })).toMatchObject({ status: 404 });
});

test('durations and cursors beyond their range are named', async () => {
  expect(await queue.ask('range', 'dequeue', { wait: '61s' })).toMatchObject(refusal('wait'));
  for (const lease of ['99ms', '2d', 0]) {
    expect(await queue.ask('range', 'dequeue', { lease })).toMatchObject(refusal('lease'));
    expect(await queue.ask('range', 'extend', { ...item, lease })).toMatchObject(refusal('lease'));
    const fetch = { max: 1, lease };
    expect(await queue.ask('range', 'complete', { ...item, fetch })).toMatchObject(refusal('fetch.lease'));
  }
  const undeclared = await queue.ask('range', 'list', { fields: { 'user.email': 'ada' } });
  expect(undeclared).toMatchObject(refusal('fields.user.email'));
  expect(await queue.ask('range', 'list', { cursor: '-1' })).toMatchObject(refusal('cursor'));
  expect(await queue.ask('range', 'list', { cursor: 'NOT' })).toMatchObject(refusal('cursor'));
  expect(await queue.ask('range', 'replay', {})).toMatchObject(refusal('id'));
  for (const operation of ['cancel', 'purge'] as const) {
    expect(await queue.ask('range', operation, {})).toMatchObject(refusal('id'));
    expect(await queue.ask('range', operation, { id, state: 'pending' })).toMatchObject(refusal('state'));
    expect(await queue.ask('range', operation, { id, limit: 1 })).toMatchObject(refusal('limit'));
    expect(await queue.ask('range', operation, { state: 'processing' })).toMatchObject(refusal('state'));
  }
  expect(await queue.ask('range', 'purge', { state: 'done', all: true })).toMatchObject(refusal('all'));
  const family = { state: 'pending', children: true };
  expect(await queue.ask('range', 'cancel', family)).toMatchObject(refusal('children'));
  expect(await queue.ask('range', 'replay', { id, state: 'failed' })).toMatchObject(refusal('state'));
  const claim = { 'Nats-Msg-Id': 'c'.repeat(257) };
  expect(await queue.ask('range', 'dequeue', {}, claim)).toMatchObject(refusal('Nats-Msg-Id'));
});

test('an unknown operation and a bad queue name are named', async () => {
  for (const operation of ['peek', 'constructor', '__proto__', 'ENQUEUE'])
    expect(await queue.ask('some', operation, {})).toMatchObject(refusal('operation'));
  for (const name of ['a$b', 'ü', 'x'.repeat(65)])
    expect(await queue.ask(name, 'enqueue', 1)).toMatchObject(refusal('queue'));
});

test('a body that is not of its encoding, and an encoding that we do not speak, are refused', async () => {
  for (const body of ['{', 'nonsense', '\u0000', '{"id":"a"}}', new Uint8Array([0xff, 0xfe])])
    expect(await queue.send('trivet.queue.bad.get', body)).toMatchObject(refusal('body'));
  const packed = { 'Content-Type': 'application/msgpack' };
  const json = { 'Content-Type': 'application/json' };
  for (const operation of ['get', 'enqueue'])
    expect(
      await queue.send(`trivet.queue.bad.${operation}`, new Uint8Array([0x92, 0x01]), packed),
    ).toMatchObject(refusal('body'));
  expect(await queue.send('trivet.queue.bad.enqueue', '{', json)).toMatchObject(refusal('body'));
  // A byte that means nothing; strings that are no UTF-8, short, long, as a name, and within a set.
  for (const body of ['81a161c1', 'a1ff', `d940${'61'.repeat(63)}ff`, '81a2c328c0', 'c7041191a2c328'])
    for (const operation of ['get', 'enqueue'])
      expect(
        await queue.send(`trivet.queue.bad.${operation}`, Buffer.from(body, 'hex'), packed),
      ).toMatchObject(refusal('body'));
  const text = { 'Content-Type': 'text/xml' };
  expect(await queue.send('trivet.queue.bad.get', '', text)).toMatchObject(refusal('Content-Type'));
  expect(await queue.send('trivet.queue.stats', '', text)).toMatchObject(refusal('Content-Type'));
  expect(await queue.send('trivet.queue.list', '{"a":1}')).toMatchObject(refusal('a'));
});

test('an empty body is an empty request', async () => {
  for (const body of ['', '{}'])
    expect(await queue.send('trivet.queue.empty.enqueue-many', body)).toMatchObject(refusal('items'));
});

test('what is too large is refused, alone where it can be', async () => {
  const tooLarge = { status: 413, body: { error: { code: 'payload_too_large' } } };
  const large = 'x'.repeat(1_048_577);
  expect(await queue.ask('large', 'enqueue', large)).toMatchObject(tooLarge);
  const many = await queue.ask('large', 'enqueue-many', { items: [{ payload: large }, { payload: 1 }] });
  expect(many.body).toMatchObject({
    items: [
      { error: { code: 'payload_too_large', details: { field: 'items[0].payload' } } },
      { state: 'pending' },
    ],
  });
  const result = 'x'.repeat(262_145);
  expect(await queue.ask('large', 'complete', { ...item, result })).toMatchObject(tooLarge);
  const progress = 'x'.repeat(8_193);
  expect(await queue.ask('large', 'extend', { ...item, lease: '1m', progress })).toMatchObject(tooLarge);
  const message = { ...error, message: 'x'.repeat(8_193) };
  expect(await queue.ask('large', 'fail', { ...item, error: message })).toMatchObject(
    refusal('error.message'),
  );
  const whole = await queue.send('trivet.queue.large.enqueue-many', Buffer.alloc(7 * 1_048_576 + 1, ' '));
  expect(whole).toMatchObject({ status: 413, body: { error: { details: { field: 'body' } } } });
});

test('a batch that grows beyond a record of the log is refused whole, and the queue lives on', async () => {
  // Small fractions take four bytes in JSON and nine in MessagePack, as results are kept.
  const result = Array.from({ length: 25_000 }, () => 0.5);
  const items = Array.from({ length: 50 }, (_, n) => ({ payload: n }));
  await queue.ask('growing', 'enqueue-many', { items });
  const taken = await queue.ask('growing', 'dequeue', { max: 50 });
  const ended = (taken.body as { items: { id: string; token: number }[] }).items.map((one) => ({
    id: one.id,
    token: one.token,
    result,
  }));
  expect(await queue.ask('growing', 'complete', { items: ended })).toMatchObject({
    status: 413,
    body: { error: { code: 'payload_too_large' } },
  });
  expect((await queue.ask('growing', 'complete', { items: ended.slice(0, 10) })).status).toBe(0);
});

test('what is nested too deeply is refused, as a publish it fails, and every item can still be shown', async () => {
  for (const depth of [1_002, 5_000, 200_000]) {
    const deep = '['.repeat(depth) + ']'.repeat(depth);
    expect(await queue.send('trivet.queue.deep.enqueue', deep)).toMatchObject(refusal('body'));
    const many = await queue.send('trivet.queue.deep.enqueue-many', `{"items":[{"payload":${deep}}]}`);
    const { status, body } = many;
    expect(status === 400 ? body : (body as { items: object[] }).items[0]).toMatchObject({
      error: { code: 'invalid_request' },
    });
    const ended = await queue.send('trivet.queue.deep.complete', `{"id":"${id}","token":1,"result":${deep}}`);
    expect(ended).toMatchObject({ status: 400 });
    await queue.publish('deep', deep);
  }
  await expect
    .poll(async () => (await queue.ask('deep', 'stats')).body)
    .toMatchObject({ counts: { failed: 3, pending: 0 } });
  for (const ask of ['ask', 'askPacked'] as const) expect((await queue[ask]('deep', 'list')).status).toBe(0);
});

test('numbers that grow in MessagePack are handed out in parts that fit', async () => {
  const payload = Array.from({ length: 200_000 }, () => 0.5);
  for (let n = 0; n < 6; n += 1) await queue.ask('grown', 'enqueue', payload);
  let handed = 0;
  while (handed < 6) {
    const { status, body } = await queue.askPacked('grown', 'dequeue', { max: 10, wait: '5s' });
    expect(status).toBe(0);
    const { items } = body as { items: object[] };
    expect(items.length).toBeGreaterThan(0);
    handed += items.length;
  }
  expect(handed).toBe(6);
});
