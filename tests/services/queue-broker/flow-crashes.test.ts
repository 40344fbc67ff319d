import { expect, test } from 'vitest';
import { FlowWorld, type FlowWorldOptions } from './flow-world.ts';

// A flow over three partitions, with a crash between every two steps that it takes: after every record that becomes
// durable in any log, and after every commit of rows. Once with the rows that were there, once without any.

/** Payloads say what their workers do. */
const item = (queue: string, does: 'done' | 'failed', more: object = {}) => ({
  queue,
  payload: does,
  ...more,
});

const lease = '500ms';

/** Over three partitions: top waits for two leaves and for mid, which goes on though one of its own children fails. */
const tree = {
  payload: 'done',
  key: 'once',
  children: [
    item('a', 'done'),
    item('mid', 'done', {
      onChildFailure: 'continue',
      children: [item('sum', 'failed'), item('c', 'done'), item('top', 'done')],
    }),
    item('c', 'done', { delay: '50ms' }),
  ],
};
const queues = ['top', 'mid', 'a', 'sum', 'c'];
const items = 7;

interface Taken {
  readonly id: string;
  readonly token: number;
  readonly payload: string;
}

/** Takes what is ready in each queue and does what it says. */
async function workOnce(world: FlowWorld): Promise<void> {
  for (const queue of queues) {
    const heard = await world.ask('dequeue', queue, { max: 10, lease });
    const { items: taken = [] } = (heard.value ?? {}) as { items?: readonly Taken[] };
    for (const { id, token, payload } of taken) {
      const error = { message: 'meant to fail' };
      if (JSON.parse(payload) === 'done') await world.ask('complete', queue, { id, token, result: id });
      else await world.ask('fail', queue, { id, token, error, retry: false });
    }
  }
}

const kindsOf = (world: FlowWorld, ...kinds: readonly string[]) =>
  world.facts.filter(({ fact }) => kinds.includes(fact.kind));

/** Items that have come to an end for good, by the facts of all logs. */
function ended(world: FlowWorld): readonly string[] {
  return world.facts.flatMap(({ partition, fact }) => {
    if (fact.kind === 'completed') return fact.orders.map((order) => `${partition}-${order}`);
    if (fact.kind === 'failed' && !fact.mayRetry) return [`${partition}-${fact.order}`];
    return fact.kind === 'cancelled' || fact.kind === 'child-failed' ? [`${partition}-${fact.order}`] : [];
  });
}

async function untilAllEnded(world: FlowWorld): Promise<void> {
  for (let rounds = 0; ended(world).length < items; rounds += 1) {
    if (rounds > 500) throw new Error(`only ${ended(world).length} of ${items} items ended`);
    await workOnce(world);
    await world.pass(20);
  }
  await world.pass(12_000);
}

/** What must hold whatever happened: every item exists once and ended once, and nothing began before its time. */
function expectOneWholeFlow(world: FlowWorld): void {
  expect(world.losses).toEqual([]);
  expect(world.auditor.faults()).toEqual([]);
  expect(world.auditor.open).toBe(0);
  expect(kindsOf(world, 'flow-begun')).toHaveLength(1);
  expect(kindsOf(world, 'enqueued')).toHaveLength(items);
  expect(ended(world)).toHaveLength(items);
  expect(new Set(ended(world)).size).toBe(items);
  const lastMade = world.facts.findLastIndex(({ fact }) => fact.kind === 'enqueued');
  const firstFree = world.facts.findIndex(({ fact }) => fact.kind === 'unblocked' || fact.kind === 'claimed');
  expect(firstFree).toBeGreaterThan(lastMade);
}

/** Nothing of it is left to be done, and nothing is kept for nobody. */
const expectNothingLeft = async (world: FlowWorld) =>
  expect(await world.records(['flow/', 'flow-member/', 'flow-ending/', 'flow-cascade/'])).toEqual([]);

async function runToTheEnd(options: FlowWorldOptions): Promise<FlowWorld> {
  const world = new FlowWorld(options);
  await world.start();
  const { value } = await world.ask('enqueue-flow', 'top', tree);
  expect(value).toMatchObject({ children: items - 1 });
  await untilAllEnded(world);
  expectOneWholeFlow(world);
  await expectNothingLeft(world);
  return world;
}

/** The whole run's steps, with none of them lost. */
async function stepsOf(run: (options: FlowWorldOptions) => Promise<FlowWorld>): Promise<readonly number[]> {
  const world = await run({});
  return Array.from({ length: world.steps }, (_, step) => step + 1);
}

test.each([
  ['with its rows', {}],
  ['with rows that were stored on the way', { latencyMs: 25 }],
  ['with its logs alone', { disksAreLost: true }],
])('a flow survives a crash after any of its steps, %s', { timeout: 240_000 }, async (_, world) => {
  const run = (options: FlowWorldOptions) => runToTheEnd({ ...world, ...options });
  const steps = await stepsOf(run);
  expect(steps.length).toBeGreaterThan(40);
  for (const step of steps) await run({ crashes: [step] });
});

test('a flow survives two crashes, one soon after the other', { timeout: 240_000 }, async () => {
  const steps = await stepsOf(runToTheEnd);
  for (const step of steps.filter((one) => one % 3 === 0)) {
    for (const later of [4, 7])
      await runToTheEnd({ crashes: [step, step + later], disksAreLost: step % 2 === 0 });
  }
});

test('a flow does not depend on what is kept of finished items', { timeout: 240_000 }, async () => {
  const run = (options: FlowWorldOptions) => runToTheEnd({ ...options, keeps: false });
  for (const step of await stepsOf(run)) if (step % 2 === 0) await run({ crashes: [step] });
});

/** Everything is cancelled from the top, while a leaf is worked on. */
async function cancelAll(options: FlowWorldOptions): Promise<FlowWorld> {
  const world = new FlowWorld(options);
  await world.start();
  const { value } = await world.ask('enqueue-flow', 'top', tree);
  const { id } = value as { id: string };
  await world.pass(100);
  await world.ask('dequeue', 'a', { lease: '1h' });
  const heard = await world.ask('cancel', 'top', { id, children: true });
  // Who has to ask again where nothing is kept of finished items may find nothing.
  if (options.keeps !== false) expect(heard).toMatchObject({ value: { id, state: 'cancelled' } });
  await world.pass(12_000);
  expect(world.losses).toEqual([]);
  expect(world.auditor.faults()).toEqual([]);
  expect(kindsOf(world, 'cancelled')).toHaveLength(items);
  expect(new Set(ended(world)).size).toBe(items);
  await expectNothingLeft(world);
  return world;
}

test.each([true, false])(
  'a cascade of cancelling survives a crash after any of its steps, with finished items kept: %s',
  { timeout: 240_000 },
  async (keeps) => {
    const run = (options: FlowWorldOptions) => cancelAll({ ...options, keeps });
    for (const step of await stepsOf(run)) await run({ crashes: [step], disksAreLost: step % 2 === 0 });
  },
);

test('a flow that is cancelled with its children before all exist is made and cancelled whole', async () => {
  const world = new FlowWorld();
  await world.start();
  const { value } = await world.ask('enqueue-flow', 'top', tree);
  await world.ask('cancel', 'top', { id: (value as { id: string }).id, children: true });
  await world.pass(1_000);
  expect(kindsOf(world, 'cancelled')).toHaveLength(items);
  await expectNothingLeft(world);
});

test('a flow waits for a partition that has no room, and goes on by itself once it has', async () => {
  const world = new FlowWorld();
  await world.start();
  world.full.add(0);
  await world.ask('enqueue-flow', 'top', tree);
  await world.pass(60_000);
  await workOnce(world);
  expect(kindsOf(world, 'unblocked', 'claimed')).toEqual([]);
  expect(kindsOf(world, 'enqueued').length).toBeLessThan(items);
  world.full.clear();
  await untilAllEnded(world);
  expectOneWholeFlow(world);
  await expectNothingLeft(world);
});
