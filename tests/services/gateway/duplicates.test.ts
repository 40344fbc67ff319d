import { expect, test } from 'vitest';
import { Duplicates } from '#services/gateway/duplicates.ts';
import { refuse } from '#shared/protocol/errors.ts';

test('a broker that does not answer is not asked again for each item of a batch', async () => {
  let asked = 0;
  const duplicates = new Duplicates(() => {
    asked += 1;
    return Promise.resolve(refuse('timeout', 'no reply'));
  });
  const principal = {
    name: 'ada',
    id: 'k-1',
    ownNamespace: 'u-1',
    grants: [{ role: 'producer', own: true }],
  } as const;
  const items = Array.from({ length: 1_000 }, (_, n) => ({ id: `i-${n}`, duplicate: n > 0 }));
  const answer = await duplicates.withoutOthers(
    { principal, operation: 'queue.enqueue-many', queue: 'q' },
    { status: 200, json: Buffer.from(JSON.stringify({ items })) },
  );
  expect(asked).toBe(1);
  const told = (answer as { value: { body: { items: unknown[] } } }).value.body.items;
  expect(told.slice(0, 2)).toMatchObject([{ id: 'i-0' }, { error: { code: 'timeout' } }]);
  expect(told.at(-1)).toMatchObject({ error: { code: 'timeout' } });
});
