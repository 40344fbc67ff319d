import type { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import type { SnapshotStore } from '#services/queue-broker/snapshot-store.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { SeededRandom } from './seeded-random.ts';
import { NoAnswerError } from './virtual-log.ts';

export interface VirtualSnapshotsOptions {
  /** What is there, whoever asks. */
  readonly objects: MemorySnapshots;
  /** The asking process's own time. */
  readonly process: Clock;
  readonly random: SeededRandom;
  readonly isFaulty: () => boolean;
}

/**
 * A store of snapshots as one process reaches it: a put may get lost, be stored and not answered, or be stored with
 * another byte; a removal may stop halfway. A process that dies between two parts leaves a snapshot half written.
 */
export function openSnapshots({
  objects,
  process,
  random,
  isFaulty,
}: VirtualSnapshotsOptions): SnapshotStore {
  const chance = (probability: number): boolean => isFaulty() && random.chance(probability);
  const ask = async <T>(act: () => Promise<T>): Promise<T> => {
    await sleep(process, random.integer(0, isFaulty() ? 20 : 1));
    if (chance(0.02)) throw new NoAnswerError();
    const answer = await act();
    await sleep(process, random.integer(0, isFaulty() ? 20 : 1));
    if (chance(0.02)) throw new NoAnswerError();
    return answer;
  };
  return {
    list: () => ask(() => objects.list()),
    get: (name) => ask(() => objects.get(name)),
    put: (name, bytes) => ask(() => objects.put(name, chance(0.03) ? withFlippedBit(bytes, random) : bytes)),
    remove: (names) =>
      ask(async () => {
        const removed = chance(0.05) ? names.slice(0, random.integer(0, names.length)) : names;
        await objects.remove(removed);
        if (removed.length < names.length) throw new NoAnswerError();
      }),
    tidy: () => ask(() => objects.tidy()),
  };
}

export function withFlippedBit(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const damaged = bytes.slice();
  const at = random.integer(0, damaged.length - 1);
  damaged[at] = (damaged[at] ?? 0) ^ (1 << random.integer(0, 7));
  return damaged;
}
