import { expect, test } from 'vitest';
import type { LeaseRecord } from '#shared/runtime/owner-lease.ts';

const [first, second] = [
  { node: 'a', instance: 'a1' },
  { node: 'b', instance: 'b1' },
];

/** What every keeper of the lease does. `make` gives one that was never written. */
export function leaseRecordContract(name: string, make: () => Promise<LeaseRecord>): void {
  test(`a lease ${name} that was never written has no owner, and is written over revision 0`, async () => {
    const record = await make();
    expect(await record.read()).toEqual({ owner: undefined, revision: 0 });
    const revision = await record.write(first, 0);
    expect(revision).toBeGreaterThan(0);
    expect(await record.read()).toEqual({ owner: first, revision });
  });

  test(`a lease ${name} is written over the last revision alone`, async () => {
    const record = await make();
    const revision = (await record.write(first, 0)) ?? 0;
    expect(await record.write(second, 0)).toBeUndefined();
    expect(await record.write(second, revision + 1)).toBeUndefined();
    const renewed = (await record.write(first, revision)) ?? 0;
    expect(renewed).toBeGreaterThan(revision);
    expect(await record.write(second, revision)).toBeUndefined();
    expect(await record.read()).toEqual({ owner: first, revision: renewed });
  });

  test(`of many who write a lease ${name} at once one wins`, async () => {
    const record = await make();
    const written = await Promise.all(Array.from({ length: 10 }, () => record.write(first, 0)));
    expect(written.filter((revision) => revision !== undefined)).toHaveLength(1);
  });

  test(`a lease ${name} that was removed has no owner and can be taken`, async () => {
    const record = await make();
    const revision = (await record.write(first, 0)) ?? 0;
    await record.remove(revision);
    const { owner, revision: removed } = await record.read();
    expect(owner).toBeUndefined();
    expect(await record.write(second, removed)).toBeGreaterThan(removed);
    expect(await record.read()).toMatchObject({ owner: second });
  });
}
