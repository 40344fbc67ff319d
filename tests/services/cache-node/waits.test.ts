import { expect, test } from 'vitest';
import { nodeOf } from '#services/cache-node/core/node-map.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { sleep } from '#shared/runtime/clock.ts';
import { VirtualCluster, type Weather } from './virtual-cluster.ts';
import { VirtualContents } from './virtual-contents.ts';

const calm: Weather = { lost: 0, doubled: 0, late: 0, lateMsMax: 1 };

class Filed extends VirtualContents {
  settleMs = 0;
  readonly clock: VirtualClock;

  constructor(clock: VirtualClock) {
    super();
    this.clock = clock;
  }
  override keeps(): boolean {
    return true;
  }
  settle(): Promise<void> {
    return sleep(this.clock, this.settleMs);
  }
}

function made() {
  const clock = new VirtualClock();
  const since = new Map<string, number>();
  const cluster = new VirtualCluster<Filed>({
    clock,
    random: new SeededRandom(1),
    weather: calm,
    contentsOf: () => new Filed(clock),
    watcher: {
      entered: (process, _id, filesSince) => void since.set(process.name, filesSince),
      began: () => undefined,
    },
  });
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 10) await clock.advance(10);
  };
  return { clock, cluster, since, pass };
}

test('a node that takes long to leave does not end the wait for those that are back', async () => {
  const { cluster, since, pass } = made();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => cluster.start(name));
  await pass(5_000);
  if (b) b.contents.settleMs = 7_000;
  for (const one of [a, b, c]) if (one) void cluster.leave(one);
  await pass(5_500);
  cluster.start('a');
  await pass(500);
  const back = cluster.start('c');
  await pass(1_000);
  expect(nodeOf(back.node.map, back.node.id)?.name).toBe('c');
  expect(since.get('c')).toBe(0);
});

test('a node that was cut off does not count that time as one in which others could have come back', async () => {
  const { cluster, since, pass } = made();
  const [a, b] = ['a', 'b'].map((name) => cluster.start(name));
  await pass(5_000);
  for (const one of [a, b]) if (one) void cluster.leave(one);
  await pass(2_000);
  cluster.start('a');
  await pass(500);
  cluster.weather = { ...calm, lost: 1 };
  await pass(200);
  cluster.start('b');
  await pass(8_000);
  cluster.weather = calm;
  await pass(3_000);
  expect(since.get('b')).toBe(0);
});
