import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RunningQueue, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeEach(async () => {
  queue = await startQueue();
});

afterEach(() => queue.stop());

/** The files of the stream of plain publishes. */
async function folderOfPublishes(): Promise<string> {
  const { dir } = queue.server;
  const found = (await readdir(dir, { recursive: true })).find((path) => path.endsWith('TRIVET_INGEST'));
  if (found === undefined) throw new Error('there is no stream of plain publishes');
  return join(dir, found);
}

const countOf = async (name: string): Promise<number> => {
  const { body } = await queue.ask(name, 'stats');
  return Object.values((body as { counts: Record<string, number> }).counts).reduce((sum, n) => sum + n, 0);
};

test('an older copy of the stream of publishes is refused: what it brings would pass for what the log has', async () => {
  const first = await queue.startBroker();
  await queue.publish('mail', '1');
  await expect.poll(() => countOf('mail')).toBe(1);
  expect(await first.stop()).toBe(0);
  const folder = await folderOfPublishes();
  const backup = join(queue.server.dir, 'backup');
  await queue.server.stopped(() => cp(folder, backup, { recursive: true }));

  const second = await queue.startBroker();
  for (let n = 2; n <= 10; n += 1) await queue.publish('mail', String(n));
  await expect.poll(() => countOf('mail')).toBe(10);
  expect(await second.stop()).toBe(0);
  await queue.server.stopped(async () => {
    await rm(folder, { recursive: true });
    await cp(backup, folder, { recursive: true });
  });

  // The client finds the server again by itself, after a while.
  await expect.poll(() => queue.client.rtt().catch(() => -1), { timeout: 10_000 }).toBeGreaterThan(-1);
  await queue.publish('mail', '11');
  await expect(queue.startBroker()).rejects.toThrow('publishes');
  // Without it there is a new one, which counts for itself.
  await queue.server.stopped(() => rm(folder, { recursive: true }));
  await queue.startBroker();
  await queue.publish('mail', '12');
  await expect.poll(() => countOf('mail')).toBe(11);
}, 60_000);
