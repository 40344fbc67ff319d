import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideCancel, decideReprioritize } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { type Item, itemId } from '#services/queue-broker/core/item.ts';
import { listItems } from '#services/queue-broker/item-list.ts';
import { type List, priorities } from '#shared/protocol/queue-schemas.ts';
import { MadeTable, value } from './made-table.ts';

/** What happens between two pages. */
const happening = fc.oneof(
  fc.record({ kind: fc.constant('enqueue' as const), queue: fc.constantFrom('mail', 'images') }),
  fc.record({ kind: fc.constantFrom('cancel' as const, 'reprioritize' as const), pick: fc.nat() }),
  fc.record({ kind: fc.constantFrom('dequeue' as const, 'commit' as const) }),
);
const happenings = fc.array(happening, { maxLength: 12 });

async function happen(made: MadeTable, one: typeof happening extends fc.Arbitrary<infer T> ? T : never) {
  const count = made.table.applied.nextOrder - 1;
  const id = itemId(0, 1 + ('pick' in one ? one.pick % Math.max(1, count) : 0));
  if (one.kind === 'enqueue') made.enqueue(0, {}, one.queue);
  else if (one.kind === 'cancel') made.turn(0, (turn) => decideCancel(turn, 'mail', id));
  else if (one.kind === 'reprioritize') made.turn(0, (turn) => decideReprioritize(turn, 'mail', id, 0));
  else if (one.kind === 'dequeue')
    made.turn(0, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 1_000 }));
  else await made.commit();
}

const page = (made: MadeTable, request: List) => value(listItems(made.table, 'mail', request));

const pending = (made: MadeTable): readonly number[] => {
  const orders = Array.from({ length: made.table.applied.nextOrder }, (_, order) => order);
  return orders.filter((order) => {
    const item = made.table.item(order);
    return item?.queue === 'mail' && item.state === 'pending';
  });
};

test('pages neither skip nor repeat an item that stays as it is, whatever happens between them', async () => {
  await fc.assert(
    fc.asyncProperty(
      happenings,
      fc.array(happenings, { maxLength: 8 }),
      fc.integer({ min: 1, max: 4 }),
      async (before, between, limit) => {
        const made = new MadeTable();
        for (let count = 0; count < 6; count += 1) made.enqueue(0);
        for (const one of before) await happen(made, one);
        const first = pending(made);
        const seen: number[] = [];
        let cursor: string | undefined;
        for (let turn = 0; ; turn += 1) {
          const found = page(made, { state: 'pending', limit, ...(cursor === undefined ? {} : { cursor }) });
          seen.push(...found.items.map(({ order }) => order));
          expect(found.items.length).toBeLessThanOrEqual(limit);
          cursor = found.cursor;
          if (cursor === undefined) break;
          for (const one of between[turn] ?? []) await happen(made, one);
        }
        expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
        const last = new Set(pending(made));
        for (const order of first) if (last.has(order)) expect(seen).toContain(order);
      },
    ),
  );
});

test('a list shows what is decided and not stored yet, and not what is gone', async () => {
  const made = new MadeTable({ done: { ageMs: 1, count: 0 }, failed: { ageMs: 1 } });
  for (let count = 0; count < 3; count += 1) made.enqueue(0);
  await made.commit();
  made.turn(1, (turn) => decideCancel(turn, 'mail', itemId(0, 2)));
  made.enqueue(1);
  expect(page(made, {}).items.map(({ order, state }) => [order, state])).toEqual([
    [1, 'pending'],
    [3, 'pending'],
    [4, 'pending'],
  ]);
});

test('filters choose by state, priority, group and text of the payload', () => {
  const made = new MadeTable();
  made.enqueue(0, { priority: 'high', group: 'a' });
  made.enqueue(0, { priority: 'low', group: 'b', delay: '1s' });
  made.enqueue(0, {}, 'images');
  const orders = (request: List) => page(made, request).items.map(({ order }) => order);
  expect(orders({})).toEqual([1, 2]);
  expect(orders({ state: 'scheduled' })).toEqual([2]);
  expect(orders({ priority: 'high' })).toEqual([1]);
  expect(orders({ group: 'b' })).toEqual([2]);
  expect(orders({ q: '{' })).toEqual([1, 2]);
  expect(orders({ q: 'nowhere' })).toEqual([]);
});

const anyFilter: fc.Arbitrary<List> = fc.record(
  {
    state: fc.constantFrom('pending' as const, 'processing' as const, 'cancelled' as const),
    priority: fc.constantFrom('high' as const, 'normal' as const),
    group: fc.constantFrom('a', 'b'),
    key: fc.constantFrom('k1', 'k2', 'k3'),
    worker: fc.constantFrom('ada', 'bob'),
    q: fc.constantFrom('ADA', 'o', 'x'),
    fields: fc.record({ 'user.name': fc.constantFrom('ad', 'BOB', 'y') }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);
const anyItem = fc.record(
  {
    priority: fc.constantFrom('high' as const, 'normal' as const),
    group: fc.constantFrom('a', 'b'),
    key: fc.constantFrom('k1', 'k2', 'k3'),
    name: fc.constantFrom('Ada', 'Bob'),
  },
  { requiredKeys: ['name'] },
);

test('pages of any filter hold exactly the items that it describes, each once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyItem, { minLength: 1, maxLength: 12 }),
      fc.array(fc.constantFrom('ada', 'bob'), { maxLength: 4 }),
      anyFilter,
      fc.integer({ min: 1, max: 3 }),
      fc.boolean(),
      async (items, workers, filter, limit, restarts) => {
        let made = new MadeTable();
        made.turn(0, (turn) =>
          turn.emit({ kind: 'configured', queue: 'mail', settings: { search: ['user.name'] } }),
        );
        for (const { name, ...options } of items) made.enqueue(0, options, 'mail', { user: { name } });
        for (const worker of workers)
          made.turn(0, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 1_000, worker }));
        made.turn(0, (turn) => decideCancel(turn, 'mail', itemId(0, 2)));
        await made.commit();
        if (restarts) made = made.reloaded();
        const seen: number[] = [];
        let cursor: string | undefined;
        do {
          const found = page(made, { ...filter, limit, ...(cursor === undefined ? {} : { cursor }) });
          seen.push(...found.items.map(({ order }) => order));
          ({ cursor } = found);
        } while (cursor !== undefined);
        const count = made.table.applied.nextOrder;
        const all = Array.from({ length: count }, (_, order) => made.table.item(order));
        const expected = all.filter((item) => item !== undefined && describes(filter, item));
        expect(seen).toEqual(expected.map((item) => item?.order));
      },
    ),
  );
});

/** The same filter, in the plainest words. */
function describes(filter: List, item: Item): boolean {
  const name = (item.fields?.['user.name'] ?? '').toLowerCase();
  const wanted = [filter.q, filter.fields?.['user.name']].filter((text) => text !== undefined);
  return (
    [undefined, item.state].includes(filter.state) &&
    [undefined, priorities[item.band]].includes(filter.priority) &&
    [undefined, item.group].includes(filter.group) &&
    [undefined, item.key].includes(filter.key) &&
    [undefined, item.attempts.at(-1)?.worker].includes(filter.worker) &&
    wanted.every((text) => name.includes(text.toLowerCase()))
  );
}

test('a field that the queue does not declare is refused by its path', () => {
  const made = new MadeTable();
  const refused = listItems(made.table, 'mail', { fields: { 'user.name': 'ada' } });
  expect(refused).toMatchObject({ error: { details: { field: 'fields.user.name' } } });
});

test('text is found whatever its case, in the whole payload or where fields are declared in those alone', () => {
  const made = new MadeTable();
  const orders = (request: List) => page(made, request).items.map(({ order }) => order);
  made.enqueue(0, {}, 'mail', { name: 'ÄDA', note: 'Urgent' });
  expect([orders({ q: 'äda' }), orders({ q: 'URGENT' })]).toEqual([[1], [1]]);
  made.turn(0, (turn) => turn.emit({ kind: 'configured', queue: 'mail', settings: { search: ['name'] } }));
  made.enqueue(0, {}, 'mail', { name: 'ÄDA', note: 'Urgent' });
  expect([orders({ q: 'äda' }), orders({ q: 'URGENT' })]).toEqual([[2], []]);
});

test('a page looks at so many bytes of payloads, and says where to go on', () => {
  const made = new MadeTable();
  const large = 'x'.repeat(1_000_000);
  for (let count = 0; count < 40; count += 1) made.enqueue(0, {}, 'mail', large);
  made.enqueue(0, {}, 'mail', 'needle');
  let pages = 0;
  let cursor: string | undefined;
  const found: number[] = [];
  do {
    const one = page(made, { q: 'needle', ...(cursor === undefined ? {} : { cursor }) });
    found.push(...one.items.map(({ order }) => order));
    ({ cursor } = one);
    pages += 1;
  } while (cursor !== undefined);
  expect([found, pages]).toEqual([[41], 3]);
});

test.each(['', '-1', '1.5', 'UPPER', '01', ' 1', 'zzzzzzzzzzzzzzzzzzzz', '1_'])(
  'a cursor that no list returned is refused: %j',
  (cursor) => {
    const made = new MadeTable();
    const refused = listItems(made.table, 'mail', { cursor });
    expect(refused).toMatchObject({ error: { code: 'invalid_request', details: { field: 'cursor' } } });
  },
);

test('a cursor of another queue, or of what nobody has enqueued yet, is refused', () => {
  const made = new MadeTable();
  made.enqueue(0);
  made.enqueue(0, {}, 'other');
  const listed = (cursor: string) => listItems(made.table, 'mail', { cursor });
  expect(listed('1')).toMatchObject({ ok: true });
  for (const cursor of ['0', '2', '3', 'zz'])
    expect(listed(cursor)).toMatchObject({ error: { details: { field: 'cursor' } } });
});
