import { expect, test } from 'vitest';
import { type LeaseNews, LeaseRenewal } from '#shared/client/lease-renewal.ts';
import { LeaseTable } from '#shared/client/lease-table.ts';
import { type Result, accept, refuse } from '#shared/protocol/errors.ts';

interface Extend {
  readonly id: string;
  readonly token: number;
  readonly lease: number;
  readonly progress?: unknown;
}

/** A renewal whose `extend` is answered by `answer`, with what it sent and what it told. */
function renewal(slots: number, answer: (item: Extend) => unknown = ({ id }) => ({ id, cancelled: false })) {
  const table = new LeaseTable(slots);
  const sent: (readonly Extend[])[] = [];
  const news: LeaseNews[] = [];
  let silent = false;
  const made = new LeaseRenewal({
    table,
    leaseMs: 30_000,
    send: (body): Promise<Result<unknown>> => {
      const { items } = JSON.parse(body) as { items: Extend[] };
      sent.push(items);
      return Promise.resolve(silent ? refuse('timeout', 'no reply') : accept({ items: items.map(answer) }));
    },
    tell: (one) => news.push(one),
  });
  const silence = (is: boolean) => {
    silent = is;
  };
  return { table, renewal: made, sent, news, silence };
}

const ids = (sent: readonly (readonly Extend[])[]) => sent.map((items) => items.map((item) => item.id));

test('a lease is renewed at the second tick that sees it, and then at every second one', async () => {
  const { table, renewal: leases, sent } = renewal(4);
  table.hold('0-1', 5);
  for (let tick = 1; tick <= 6; tick += 1) await leases.tick();
  expect(ids(sent)).toEqual([['0-1'], ['0-1'], ['0-1']]);
  expect(sent[0]).toEqual([{ id: '0-1', token: 5, lease: 30_000 }]);
});

test('what ends between two ticks is never renewed, nor what takes its slot', async () => {
  const { table, renewal: leases, sent } = renewal(1);
  for (let job = 0; job < 10; job += 1) {
    const slot = table.hold(`0-${job}`, 1) ?? -1;
    await leases.tick();
    table.drop(slot);
  }
  expect(sent).toEqual([]);
});

test('renewals go out in messages of at most a thousand', async () => {
  const { table, renewal: leases, sent } = renewal(2_500);
  for (let job = 0; job < 2_500; job += 1) table.hold(`0-${job}`, 1);
  await leases.tick();
  await leases.tick();
  expect(sent.map((items) => items.length)).toEqual([1_000, 1_000, 500]);
});

test('a renewal without an answer is reported and sent again at the next tick', async () => {
  const { table, renewal: leases, sent, news, silence } = renewal(1);
  table.hold('0-1', 1);
  silence(true);
  await leases.tick();
  await leases.tick();
  silence(false);
  await leases.tick();
  expect(sent).toHaveLength(2);
  expect(news).toMatchObject([{ kind: 'fault', refusal: { code: 'timeout' } }]);
});

test('a cancelled item and a lost lease are told by slot and generation, a refused note is a fault', async () => {
  const answers: Record<string, unknown> = {
    '0-1': { id: '0-1', cancelled: true },
    '0-2': { error: { code: 'lease_lost', message: 'gone' } },
    '0-3': { error: { code: 'payload_too_large', message: 'progress is too large' } },
    '0-4': { id: '0-4', cancelled: false },
  };
  const { table, renewal: leases, news } = renewal(4, ({ id }) => answers[id]);
  const slots = Object.keys(answers).map((id) => table.hold(id, 1) ?? -1);
  await leases.tick();
  await leases.tick();
  const place = (index: number) => {
    const slot = slots[index] ?? -1;
    return { slot, generation: table.generation(slot) };
  };
  expect(news).toMatchObject([
    { kind: 'cancelled', ...place(0) },
    { kind: 'lost', ...place(1), refusal: { code: 'lease_lost' } },
    { kind: 'fault', refusal: { code: 'payload_too_large' } },
  ]);
});

test('of several notes the newest goes out, once, and renews the lease on the way', async () => {
  const { table, renewal: leases, sent } = renewal(2);
  const slot = table.hold('0-1', 1) ?? -1;
  table.hold('0-2', 1);
  leases.note(slot, table.generation(slot), '{"done":1}');
  leases.note(slot, table.generation(slot), '{"done":2}');
  await leases.sendNotes();
  await leases.sendNotes();
  expect(sent).toEqual([[{ id: '0-1', token: 1, lease: 30_000, progress: { done: 2 } }]]);
});

test('a note that nobody took goes with the next renewal, unless a newer one has come', async () => {
  const { table, renewal: leases, sent, silence } = renewal(2);
  const [first, second] = ['0-1', '0-2'].map((id) => table.hold(id, 1) ?? -1) as [number, number];
  await leases.tick();
  leases.note(first, table.generation(first), '1');
  leases.note(second, table.generation(second), '1');
  silence(true);
  const sending = leases.sendNotes();
  leases.note(second, table.generation(second), '2');
  await sending;
  silence(false);
  await leases.tick();
  expect(sent[1]?.map((item) => item.progress)).toEqual([1, 2]);
});

test('a note of a job that has ended is not sent for the one in its slot', async () => {
  const { table, renewal: leases, sent } = renewal(1);
  const slot = table.hold('0-1', 1) ?? -1;
  leases.note(slot, table.generation(slot), '"old"');
  table.drop(slot);
  table.hold('0-2', 2);
  await leases.sendNotes();
  await leases.tick();
  await leases.tick();
  expect(sent).toEqual([[{ id: '0-2', token: 2, lease: 30_000 }]]);
});
