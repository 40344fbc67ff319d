import { afterAll, beforeAll, expect, test } from 'vitest';
import { partitionOf } from '#shared/protocol/partition.ts';
import { auditLog } from '#tests/support/log-auditor.ts';
import {
  type Leased,
  type Reply,
  type RunningQueue,
  leased,
  partitions,
  startQueue,
} from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

/** However slow the machine is. */
const patiently = { timeout: 10_000 };

interface Child {
  readonly queue: string;
  readonly id: string;
  readonly state: string;
  readonly result?: unknown;
  readonly resultOmitted?: boolean;
  readonly error?: { readonly message: string; readonly type?: string };
}

interface Flow {
  readonly id: string;
  readonly state: string;
  readonly duplicate: boolean;
  readonly children: number;
}

/** What the tests read of answers. */
interface Answer {
  readonly state: string;
  readonly parent: object;
  readonly attempts: readonly { readonly error: object }[];
  readonly children: readonly Child[];
  readonly items: readonly Child[];
}

const bodyOf = (reply: Reply): Answer => {
  if (reply.status !== 0) throw new Error(JSON.stringify(reply.body));
  return reply.body as Answer;
};

const enqueueFlow = async (name: string, flow: object): Promise<Flow> => {
  const reply = await queue.ask(name, 'enqueue-flow', flow);
  bodyOf(reply);
  return reply.body as Flow;
};

const stateOf = async (name: string, id: string) => bodyOf(await queue.ask(name, 'get', { id })).state;

const childrenOf = async (name: string, id: string) =>
  bodyOf(await queue.ask(name, 'children', { id })).items;

/** Waits for an item and takes it. */
async function take(name: string): Promise<Leased> {
  const [item] = leased(await queue.ask(name, 'dequeue', { wait: '10s' }));
  if (item === undefined) throw new Error(`nothing came to ${name}`);
  return item;
}

async function complete(name: string, result?: unknown): Promise<Leased> {
  const item = await take(name);
  bodyOf(await queue.ask(name, 'complete', { id: item.id, token: item.token, result }));
  return item;
}

async function fail(name: string, retry = false): Promise<Leased> {
  const item = await take(name);
  const error = { message: 'the disk is full', type: 'DiskError' };
  bodyOf(await queue.ask(name, 'fail', { id: item.id, token: item.token, retry, error }));
  return item;
}

const nothingIn = async (name: string) => expect(leased(await queue.ask(name, 'dequeue', {}))).toEqual([]);

/** Queues of this name and of others, each in a partition of its own. */
function spread(name: string, count = partitions): readonly string[] {
  const names: string[] = [];
  for (let n = 0; names.length < count; n += 1) {
    const candidate = `${name}-${n}`;
    const known = names.map((one) => partitionOf(one, partitions));
    if (!known.includes(partitionOf(candidate, partitions))) names.push(candidate);
  }
  return names;
}

test('a parent waits for its children in other partitions, and then sees what they left', async () => {
  const [parent, ...others] = spread('fan') as [string, string, string, string];
  const flow = await enqueueFlow(parent, {
    payload: 'sum',
    children: others.map((name, n) => ({ queue: name, payload: n })),
  });
  expect(flow).toMatchObject({ state: 'blocked', duplicate: false, children: 3 });
  await nothingIn(parent);
  for (const [n, name] of others.entries()) {
    const child = await complete(name, { square: n * n });
    expect(child.payload).toBe(n);
    const shown = bodyOf(await queue.ask(name, 'get', { id: child.id }));
    expect(shown.parent).toEqual({ queue: parent, id: flow.id });
  }
  const item = await take(parent);
  expect(item).toMatchObject({ id: flow.id, payload: 'sum' });
  const children = await childrenOf(parent, flow.id);
  expect(children.map(({ queue: name, state, result }) => ({ name, state, result }))).toEqual(
    others.map((name, n) => ({ name, state: 'done', result: { square: n * n } })),
  );
  const shown = bodyOf(await queue.ask(parent, 'get', { id: flow.id }));
  expect(shown.state).toBe('processing');
  expect(shown.children).toEqual(children.map(({ queue: name, id, state }) => ({ queue: name, id, state })));
});

test('a tree of three levels runs from its leaves to its root', async () => {
  const [root, middle, leaf] = spread('deep', 3) as [string, string, string];
  const branch = (n: number) => ({
    queue: middle,
    payload: n,
    children: [
      { queue: leaf, payload: `${n}a` },
      { queue: leaf, payload: `${n}b` },
    ],
  });
  const flow = await enqueueFlow(root, { payload: 'all', children: [branch(1), branch(2)] });
  expect(flow.children).toBe(6);
  const leaves = [await complete(leaf), await complete(leaf), await complete(leaf)];
  expect(leaves.map(({ payload }) => payload)).toEqual(['1a', '1b', '2a']);
  expect((await complete(middle)).payload).toBe(1);
  await nothingIn(middle);
  await nothingIn(root);
  expect((await complete(leaf)).payload).toBe('2b');
  expect((await complete(middle)).payload).toBe(2);
  expect((await complete(root)).id).toBe(flow.id);
});

test('a parent fails at once with the child that failed after its last attempt, and its other children go on', async () => {
  const [parent, child, other] = spread('fails', 3) as [string, string, string];
  const flow = await enqueueFlow(parent, {
    payload: 1,
    children: [
      { queue: child, payload: 1, maxAttempts: 2, backoff: 'fixed:1ms' },
      { queue: other, payload: 2 },
    ],
  });
  await fail(child, true);
  expect(await stateOf(parent, flow.id)).toBe('blocked');
  await fail(child, true);
  await expect.poll(() => stateOf(parent, flow.id), patiently).toBe('failed');
  const shown = bodyOf(await queue.ask(parent, 'get', { id: flow.id }));
  expect(shown.attempts.at(-1)?.error).toMatchObject({ type: 'child_failed' });
  await complete(other, 'late');
  await expect
    .poll(
      async () => (await childrenOf(parent, flow.id)).map(({ result, error }) => result ?? error),
      patiently,
    )
    .toEqual([{ message: 'the disk is full', type: 'DiskError' }, 'late']);
  expect(await stateOf(parent, flow.id)).toBe('failed');
  // Whoever replays the parent wants it to run with what there is.
  bodyOf(await queue.ask(parent, 'replay', { id: flow.id }));
  expect((await take(parent)).id).toBe(flow.id);
});

test('a parent that goes on runs when all children are final, however they ended', async () => {
  const [parent, bad, good, gone] = spread('goes-on', 4) as [string, string, string, string];
  const flow = await enqueueFlow(parent, {
    payload: 1,
    onChildFailure: 'continue',
    children: [bad, good, gone].map((name) => ({ queue: name, payload: 1 })),
  });
  await fail(bad);
  const cancelled = await take(gone);
  bodyOf(await queue.ask(gone, 'cancel', { id: cancelled.id }));
  await nothingIn(parent);
  await complete(good);
  expect((await take(parent)).id).toBe(flow.id);
  const states = (await childrenOf(parent, flow.id)).map(({ state }) => state);
  expect(states).toEqual(['failed', 'done', 'cancelled']);
});

test('a parent that waits goes on once the failed child was replayed and is done', async () => {
  const [parent, child] = spread('waits', 2) as [string, string];
  const flow = await enqueueFlow(parent, {
    payload: 1,
    onChildFailure: 'wait',
    children: [{ queue: child, payload: 1 }],
  });
  const { id } = await fail(child);
  await expect
    .poll(async () => (await childrenOf(parent, flow.id))[0]?.error?.type, patiently)
    .toBe('DiskError');
  expect(await stateOf(parent, flow.id)).toBe('blocked');
  bodyOf(await queue.ask(child, 'replay', { id }));
  expect((await childrenOf(parent, flow.id))[0]?.state).toBe('pending');
  await complete(child, 'at last');
  expect((await take(parent)).id).toBe(flow.id);
  expect((await childrenOf(parent, flow.id))[0]).toMatchObject({ state: 'done', result: 'at last' });
});

test('cancelling with children reaches every item below, and nobody comes back', async () => {
  const [root, middle, leaf] = spread('cancels', 3) as [string, string, string];
  const flow = await enqueueFlow(root, {
    payload: 1,
    children: [{ queue: middle, payload: 2, children: [{ queue: leaf, payload: 3 }] }],
  });
  const working = await take(leaf);
  expect(bodyOf(await queue.ask(root, 'cancel', { id: flow.id, children: true }))).toEqual({
    id: flow.id,
    state: 'cancelled',
  });
  await expect.poll(() => stateOf(leaf, working.id), patiently).toBe('cancelled');
  const [child] = await childrenOf(root, flow.id);
  expect(await stateOf(middle, child?.id ?? '')).toBe('cancelled');
  const told = await queue.ask(leaf, 'extend', { id: working.id, token: working.token, lease: '1m' });
  expect(told.body).toMatchObject({ cancelled: true });
  await nothingIn(middle);
  expect(await stateOf(root, flow.id)).toBe('cancelled');
});

test('cancelling a parent alone lets its children go on, and they do not bring it back', async () => {
  const [parent, child] = spread('alone', 2) as [string, string];
  const flow = await enqueueFlow(parent, { payload: 1, children: [{ queue: child, payload: 1 }] });
  bodyOf(await queue.ask(parent, 'cancel', { id: flow.id }));
  await complete(child, 'done all the same');
  await expect
    .poll(async () => (await childrenOf(parent, flow.id))[0]?.result, patiently)
    .toBe('done all the same');
  await nothingIn(parent);
  expect(await stateOf(parent, flow.id)).toBe('cancelled');
});

test('a child that is purged before its end is one that failed, and a purged parent hears of nobody', async () => {
  const [parent, child, other] = spread('purged', 3) as [string, string, string];
  const children = [child, other].map((name) => ({ queue: name, payload: 1 }));
  const flow = await enqueueFlow(parent, { payload: 1, onChildFailure: 'continue', children });
  await expect.poll(async () => (await childrenOf(parent, flow.id))[0]?.id, patiently).toBeTypeOf('string');
  const [first] = await childrenOf(parent, flow.id);
  bodyOf(await queue.ask(child, 'purge', { id: first?.id }));
  await expect.poll(async () => (await childrenOf(parent, flow.id))[0]?.state, patiently).toBe('purged');
  expect(await stateOf(parent, flow.id)).toBe('blocked');
  bodyOf(await queue.ask(parent, 'purge', { id: flow.id }));
  await complete(other);
  await nothingIn(parent);
  expect(await queue.ask(parent, 'children', { id: flow.id })).toMatchObject({ status: 404 });
});

test('a flow of payloads that fill a request is made whole', async () => {
  const [parent, child, other] = spread('heavy', 3) as [string, string, string];
  const payload = 'x'.repeat(1_000_000);
  const children = [child, other, child, other, child, other].map((name) => ({ queue: name, payload }));
  const flow = await enqueueFlow(parent, { payload: 1, children });
  for (const name of [child, other, child, other, child, other])
    expect((await complete(name)).payload).toBe(payload);
  expect((await complete(parent)).id).toBe(flow.id);
});

test('a flow asked for twice with one key is one flow', async () => {
  const [parent, child] = spread('once', 2) as [string, string];
  const flow = {
    payload: 1,
    key: 'k',
    children: [
      { queue: child, payload: 1 },
      { queue: child, payload: 2 },
    ],
  };
  const asked = await Promise.all(Array.from({ length: 10 }, () => enqueueFlow(parent, flow)));
  expect(new Set(asked.map(({ id }) => id)).size).toBe(1);
  expect(asked.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  expect(asked.every(({ children }) => children === 2)).toBe(true);
  await complete(child);
  await complete(child);
  await nothingIn(child);
  expect((await complete(parent)).id).toBe(asked[0]?.id);
});

test('delays count from the enqueueing, for a leaf and for a parent whose children have long ended', async () => {
  const [parent, child] = spread('later', 2) as [string, string];
  const runAt = new Date(Date.now() + 3_600_000).toISOString();
  const delayed = { queue: child, payload: 'late', delay: '1h' };
  const flow = await enqueueFlow(parent, { payload: 1, runAt, children: [{ queue: child, payload: 'now' }] });
  await complete(child);
  await expect.poll(() => stateOf(parent, flow.id), patiently).toBe('scheduled');
  const other = await enqueueFlow(parent, { payload: 2, children: [delayed] });
  await expect
    .poll(async () => (await childrenOf(parent, other.id)).map(({ state }) => state), patiently)
    .toEqual(['scheduled']);
});

test('results that are too large for the parent are asked of the child', async () => {
  const [parent, child] = spread('large', 2) as [string, string];
  const flow = await enqueueFlow(parent, { payload: 1, children: [{ queue: child, payload: 1 }] });
  await complete(child, 'x'.repeat(20_000));
  await take(parent);
  const [left] = await childrenOf(parent, flow.id);
  expect(left).toMatchObject({ state: 'done', resultOmitted: true });
  expect(left).not.toHaveProperty('result');
});

test('a flow of a thousand items is made whole, one of a thousand and one is refused by its field', async () => {
  const names = spread('many');
  const children = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ queue: names[n % names.length], payload: n }));
  const parent = names[0] ?? '';
  const refused = await queue.ask(parent, 'enqueue-flow', { payload: 1, children: children(1_000) });
  expect(refused).toMatchObject({ status: 400, body: { error: { details: { field: 'children[999]' } } } });
  const flow = await enqueueFlow(parent, { payload: 'all', children: children(999) });
  let ended = 0;
  for (const name of names) {
    for (;;) {
      const wait = ended === 999 ? '0s' : '1s';
      const items = leased(await queue.ask(name, 'dequeue', { max: 300, wait })).filter(
        ({ id }) => id !== flow.id,
      );
      if (items.length === 0) break;
      bodyOf(
        await queue.ask(name, 'complete', {
          items: items.map(({ id, token }) => ({ id, token, result: id })),
        }),
      );
      ended += items.length;
      if (name !== parent && items.length < 300) break;
    }
  }
  expect(ended).toBe(999);
  await expect.poll(() => stateOf(parent, flow.id), patiently).toMatch(/pending|processing/);
  const left = await childrenOf(parent, flow.id);
  expect(left.every(({ id, result }) => result === id)).toBe(true);
});

const leaf = { queue: 'any', payload: 1 };
const nested = (levels: number): object =>
  levels === 1 ? leaf : { ...leaf, children: [nested(levels - 1)] };

test.each([
  ['children[1].queue', { payload: 1, children: [leaf, { payload: 1 }] }],
  [
    'children[0].children[1].payload',
    { payload: 1, children: [{ ...leaf, children: [leaf, { queue: 'any' }] }] },
  ],
  ['children[0].key', { payload: 1, children: [{ ...leaf, key: 'k' }] }],
  ['children[0].queue', { payload: 1, children: [{ ...leaf, queue: 'no good' }] }],
  ['children[0].delay', { payload: 1, children: [{ ...leaf, delay: 'soon' }] }],
  ['children[0].runAt', { payload: 1, children: [{ ...leaf, delay: '1s', runAt: 1 }] }],
  ['children[0].onChildFailure', { payload: 1, children: [{ ...leaf, onChildFailure: 'hope' }] }],
  ['children[0].children', { payload: 1, children: [{ ...leaf, children: {} }] }],
  ['children[0]', { payload: 1, children: ['x'] }],
  [`children[0]${'.children[0]'.repeat(9)}`, { payload: 1, children: [nested(10)] }],
])('a fault in a flow is refused by its path: %s', async (field, flow) => {
  const reply = await queue.ask('faulty', 'enqueue-flow', flow);
  expect(reply).toMatchObject({
    status: 400,
    body: { error: { code: 'invalid_request', details: { field } } },
  });
});

test('ten levels are a flow, and a payload that is too large is refused by its path', async () => {
  expect((await enqueueFlow('tall', { payload: 1, children: [nested(9)] })).children).toBe(9);
  const large = { payload: 1, children: [leaf, { ...leaf, payload: 'x'.repeat(1_048_577) }] };
  expect(await queue.ask('tall', 'enqueue-flow', large)).toMatchObject({
    status: 413,
    body: { error: { code: 'payload_too_large', details: { field: 'children[1].payload' } } },
  });
});

test('the logs of all partitions agree on what happened to the flows above', async () => {
  await expect.poll(async () => (await auditLog(queue.server)).openFlows, patiently).toBe(0);
  const audit = await auditLog(queue.server);
  expect(audit.faults).toEqual([]);
  expect(audit.members.size).toBeGreaterThan(1_000);
});
