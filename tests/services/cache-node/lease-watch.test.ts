import { beforeEach, expect, test } from 'vitest';
import { LeaseWatch, wasPutOut } from '#services/cache-node/lease-watch.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import { MemoryLeaseRecord } from '#tests/shared/runtime/memory-lease-record.ts';

const leaseMs = 2_000;
const tickMs = leaseMs / 16;
const holder = { node: 'second', instance: 'a' };

let clock: ManualClock;
let record: MemoryLeaseRecord;
let watch: LeaseWatch;

beforeEach(async () => {
  clock = new ManualClock(0);
  record = new MemoryLeaseRecord();
  watch = new LeaseWatch({ clock, leaseMs, leaseOf: () => record, mayJudge: () => true });
  await renew({ told: false });
  await watch.look(['second']);
});

async function renew({ told }: { readonly told: boolean }): Promise<void> {
  const revision = await record.write(holder, (await record.read()).revision);
  if (told && revision !== undefined) watch.hear('second', revision);
}

/** Looks at every tick. @returns milliseconds until the node's lease was ended, undefined when it was not within `ms` */
async function endedWithin(ms: number): Promise<number | undefined> {
  for (let passed = tickMs; passed <= ms; passed += tickMs) {
    await clock.advance(tickMs, () => Promise.resolve());
    if ((await watch.look(['second'])).length > 0) return passed;
  }
  return undefined;
}

test('a node that was silent since its last renewal is put out after a lease and a quarter', async () => {
  await renew({ told: true });
  expect(await endedWithin(5_000)).toBe(leaseMs * 1.25);
  expect(wasPutOut((await record.read()).owner)).toBe(true);
});

test('a node that died before it could tell of its last renewal is out within three seconds, too', async () => {
  for (let silentMs = tickMs; silentMs <= leaseMs / 4; silentMs += tickMs) {
    await renew({ told: true });
    expect(await endedWithin(silentMs)).toBeUndefined();
    await renew({ told: false });
    expect(await endedWithin(5_000)).toBeLessThanOrEqual(3_000);
  }
});

test('a node that renews is never put out, whether it is heard or not', async () => {
  for (let round = 0; round < 40; round += 1) {
    expect(await endedWithin(leaseMs / 4)).toBeUndefined();
    await renew({ told: round % 3 === 0 });
  }
});

test('a lease that names nobody is let be for as long as its holder may write it again', async () => {
  await record.remove((await record.read()).revision);
  expect(await endedWithin(leaseMs)).toBeUndefined();
  await renew({ told: true });
  expect(await endedWithin(leaseMs)).toBeUndefined();
  await record.remove((await record.read()).revision);
  expect(await endedWithin(2 * leaseMs)).toBeDefined();
});

test('a bucket that came back from a backup, with lower revisions, keeps nobody in for ever', async () => {
  for (let count = 0; count < 5; count += 1) await renew({ told: true });
  record = new MemoryLeaseRecord();
  await renew({ told: false });
  expect(await endedWithin(2 * leaseMs * 1.25 + tickMs)).toBeDefined();
});
