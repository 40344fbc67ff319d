import { expect, test } from 'vitest';

import { FullDiskWatch, roomBytesMin } from '#services/cli/full-disk-watch.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';

const refused =
  "[7] 2026/11/28 09:08:05.429000 [ERR] JetStream failed to store a msg on stream 'TRIVET > KV_TRIVET_LEASES': " +
  'write /data/1.blk: no space left on device';

function watched() {
  const clock = new ManualClock(0);
  const disk = { free: 0 };
  let stuck = 0;
  const watch = new FullDiskWatch({
    clock,
    freeBytes: () => disk.free,
    stuck: () => {
      stuck += 1;
    },
  });
  const seconds = async (count: number, line: string) => {
    for (let second = 0; second < count; second += 1) {
      watch.line(line);
      await clock.advance(1_000, () => Promise.resolve());
    }
  };
  return { disk, seconds, stuck: () => stuck };
}

test('a nats-server that refuses for want of room, where there is room, is stuck; told once', async () => {
  const { disk, seconds, stuck } = watched();
  disk.free = roomBytesMin;
  await seconds(5, refused);
  expect(stuck()).toBe(0);
  await seconds(60, refused);
  expect(stuck()).toBe(1);
});

test('a disk that is full is no reason to start it anew, and room must last', async () => {
  const { disk, seconds, stuck } = watched();
  await seconds(60, refused);
  disk.free = roomBytesMin;
  await seconds(4, refused);
  disk.free = roomBytesMin - 1;
  await seconds(4, refused);
  disk.free = roomBytesMin;
  await seconds(4, refused);
  expect(stuck()).toBe(0);
});

test('other lines are nothing to it', async () => {
  const { disk, seconds, stuck } = watched();
  disk.free = roomBytesMin;
  await seconds(60, '[7] 2026/11/28 09:08:05.429000 [INF] Server is ready');
  expect(stuck()).toBe(0);
});
