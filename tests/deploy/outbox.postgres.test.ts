import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeCommitGate } from './commit-gate.ts';
import { type Order, type RunningOutbox, startOutbox } from './running-outbox.ts';

// deploy/examples/outbox as it is: its SQL, its application and its relay, with a real PostgreSQL and a real broker.

const queue = 'order-mails';

let outbox: RunningOutbox;

beforeEach(async () => {
  outbox = await startOutbox();
}, 60_000);

afterEach(() => outbox?.stop());

const orders = (count: number, quantityOf: (index: number) => number = () => 1): readonly Order[] =>
  Array.from({ length: count }, (_, index) => ({
    customer: `customer-${index}@example.org`,
    quantity: quantityOf(index),
  }));

/** The keys of the messages that are in the queue, once each; fails when one is there twice. */
async function arrived(): Promise<ReadonlySet<string>> {
  const keys = (await outbox.items(queue)).map((item) => item.key ?? '');
  const once = new Set(keys);
  expect(keys.length).toBe(once.size);
  return once;
}

/** Notes every message that was ever committed to the outbox, whatever becomes of its row. */
async function keepKeys(): Promise<void> {
  await outbox.query(`
    CREATE TABLE kept (id uuid);
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO kept VALUES (NEW.id); RETURN NEW; END $$;
    CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep();`);
}

async function committed(): Promise<ReadonlySet<string>> {
  return new Set((await outbox.query<{ id: string }>('SELECT id FROM kept')).map((row) => row.id));
}

async function rowsLeft(): Promise<number> {
  const rows = await outbox.query<{ count: string }>('SELECT count(*) FROM outbox');
  return Number(rows[0]?.count);
}

test('an order and its message are committed together, or neither is', { timeout: 60_000 }, async () => {
  await outbox.startBroker();
  const answers = await outbox.place(orders(20, (index) => (index % 4 === 0 ? 0 : 1)));
  expect(answers.filter((one) => one.startsWith('placed'))).toHaveLength(15);
  expect(answers.filter((one) => one.startsWith('refused'))).toHaveLength(5);
  outbox.startRelay();
  await outbox.drained();
  expect((await arrived()).size).toBe(15);
});

test(
  'every committed message arrives exactly once, however often a relay is killed before it can commit',
  { timeout: 120_000 },
  async () => {
    const count = 1_000;
    await keepKeys();
    await outbox.startBroker();
    await outbox.place(orders(count));
    const gate = await makeCommitGate(outbox);
    // Small batches, so that none of the kills meets the last one; two relays, so that they meet each other.
    const env = { OUTBOX_BATCH: '10' };
    const relays = [outbox.startRelay(env), outbox.startRelay(env)];
    for (let kill = 0; kill < 6; kill += 1) {
      await gate.closeBefore(2);
      await relays.shift()?.kill();
      relays.push(outbox.startRelay(env));
      await gate.open();
    }
    await gate.end();
    await outbox.drained();
    const keys = await arrived();
    expect(keys.size).toBe(count);
    expect(keys).toEqual(await committed());
  },
);

test(
  'what a killed relay had enqueued already is relayed again and stays one item',
  { timeout: 60_000 },
  async () => {
    await outbox.startBroker();
    await outbox.place(orders(50));
    const gate = await makeCommitGate(outbox);
    const relay = outbox.startRelay();
    await gate.closeBefore(1);
    expect((await arrived()).size).toBe(50);
    await relay.kill();
    expect(await rowsLeft()).toBe(50);
    await gate.open();
    await gate.end();
    outbox.startRelay();
    await outbox.drained();
    expect((await arrived()).size).toBe(50);
  },
);

test(
  'nothing is lost and nothing comes twice when the database is killed',
  { timeout: 120_000 },
  async () => {
    await keepKeys();
    await outbox.startBroker();
    await outbox.place(orders(200));
    const gate = await makeCommitGate(outbox);
    outbox.startRelay({ OUTBOX_BATCH: '50' });
    await gate.closeBefore(1);
    await outbox.postgres.killAndRestart();
    await gate.end();
    await outbox.place(orders(10));
    await outbox.drained();
    const keys = await arrived();
    expect(keys.size).toBe(210);
    expect(keys).toEqual(await committed());
  },
);

test('nothing is lost and nothing comes twice when the broker is killed', { timeout: 120_000 }, async () => {
  await keepKeys();
  const broker = await outbox.startBroker();
  await outbox.place(orders(200));
  const gate = await makeCommitGate(outbox);
  outbox.startRelay({ OUTBOX_BATCH: '50' });
  await gate.closeBefore(1);
  await broker.kill();
  await gate.open();
  await gate.end();
  expect(await rowsLeft()).toBeGreaterThan(0);
  await outbox.startBroker();
  await outbox.drained();
  const keys = await arrived();
  expect(keys.size).toBe(200);
  expect(keys).toEqual(await committed());
});

test(
  'orders are placed while Trivet is away, and their messages arrive later',
  { timeout: 60_000 },
  async () => {
    const answers = await outbox.place(orders(10));
    expect(answers.filter((one) => one.startsWith('placed'))).toHaveLength(10);
    outbox.startRelay();
    await outbox.startBroker();
    await outbox.drained();
    expect((await arrived()).size).toBe(10);
  },
);

test(
  'a message that the queue refuses for good stays with its reason and holds up nobody',
  { timeout: 60_000 },
  async () => {
    await outbox.startBroker();
    await outbox.query('INSERT INTO outbox (queue, payload, options) VALUES ($1, $2, $3)', [
      queue,
      '{}',
      '{"priority":"soonest"}',
    ]);
    await outbox.place(orders(3));
    outbox.startRelay();
    await outbox.drained();
    expect((await arrived()).size).toBe(3);
    const left = await outbox.query<{ refusal: string }>('SELECT refusal FROM outbox');
    expect(left).toEqual([{ refusal: expect.stringContaining('priority') }]);
  },
);

test('a relay that is told to stop ends in an orderly way', { timeout: 60_000 }, async () => {
  await outbox.startBroker();
  await outbox.place(orders(5));
  const relay = outbox.startRelay();
  await outbox.drained();
  expect(await relay.stop()).toBe(0);
});
