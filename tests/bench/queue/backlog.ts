import { type Figures, type Sample, type Sides, type Workload, percentile } from '#tests/bench/measure.ts';
import { clientOf, fsync } from './beside-bullmq.ts';
import { type Contestant, startTrivet } from './contestant.ts';

const queue = 'backlog';
const payloadBytes = 100;
const callers = 4;
/** The two backlogs are measured by turns in so many blocks a round, so that a busy moment of the machine hits both. */
const blocks = 10;

export interface BacklogSizes {
  readonly many: number;
  readonly few: number;
  /** Items added and taken in one round, with each backlog. */
  readonly count: number;
}

/** What a long backlog costs: enqueue and dequeue with a million waiting items, beside a broker with a thousand. */
export const backlog = (sizes: BacklogSizes): Workload => ({
  workload: 'backlog-1m',
  unit: '×',
  durability: fsync,
  notes:
    `p99 with ${sizes.many} waiting items ÷ p99 with ${sizes.few}, the worse of enqueue and dequeue; two brokers by turns; ` +
    `p50 and p99 are those of dequeue with ${sizes.many}; ${callers} callers, payloads of ${payloadBytes} bytes`,
  open: () => openBacklogs(sizes),
});

async function openBacklogs(sizes: BacklogSizes): Promise<Sides> {
  const long = await startTrivet(1);
  const short = await startTrivet(1);
  const memory = new Memory(long);
  const close = async () => {
    memory.stop();
    await long.stop();
    await short.stop();
  };
  try {
    await clientOf(long, 0).run('fill', { queue, count: sizes.many, payloadBytes });
    await clientOf(short, 0).run('fill', { queue, count: sizes.few, payloadBytes });
  } catch (error) {
    await close();
    throw error;
  }
  return { ours: (round) => compared({ long, short, memory, sizes, round }), close };
}

interface Comparing {
  readonly long: Contestant;
  readonly short: Contestant;
  readonly memory: Memory;
  readonly sizes: BacklogSizes;
  readonly round: number;
}

async function compared({ long, short, memory, sizes, round }: Comparing): Promise<Sample> {
  const withMany = new Times();
  const withFew = new Times();
  for (let block = 0; block < blocks; block += 1) {
    await withMany.addBlock(long, sizes.count / blocks);
    await withFew.addBlock(short, sizes.count / blocks);
  }
  const rssMiB = long.memoryMiB();
  const done = sizes.count * (round + 1);
  await long.check(queue, { waiting: sizes.many, done });
  await short.check(queue, { waiting: sizes.few, done });
  const worse = Math.max(withMany.addP99 / withFew.addP99, withMany.takeP99 / withFew.takeP99);
  return {
    value: worse,
    p50: withMany.takeP50,
    p99: withMany.takeP99,
    ...(rssMiB === undefined ? {} : { rssMiB }),
    figures: {
      'enqueue ×': withMany.addP99 / withFew.addP99,
      'dequeue ×': withMany.takeP99 / withFew.takeP99,
      ...withMany.figures(sizes.many),
      ...withFew.figures(sizes.few),
      'RssAnon MiB at its highest since the start': memory.highestMiB,
    },
  };
}

/** Looks at the broker's memory all the time: right after a million enqueues it holds more than when it is collected. */
class Memory {
  readonly #timer: NodeJS.Timeout;
  highestMiB = 0;

  constructor(side: Contestant) {
    this.#timer = setInterval(() => {
      this.highestMiB = Math.max(this.highestMiB, side.memoryMiB() ?? 0);
    }, 100);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** The latencies of one backlog over the blocks of a round, in milliseconds. */
class Times {
  readonly #add: number[] = [];
  readonly #take: number[] = [];

  async addBlock(side: Contestant, count: number): Promise<void> {
    const task = { queue, count, callers, payloadBytes };
    const { addMs, takeMs } = await clientOf(side, 0).run('add-and-take', task);
    this.#add.push(...addMs);
    this.#take.push(...takeMs);
  }

  get addP99(): number {
    return percentile(sorted(this.#add), 0.99);
  }

  get takeP50(): number {
    return percentile(sorted(this.#take), 0.5);
  }

  get takeP99(): number {
    return percentile(sorted(this.#take), 0.99);
  }

  figures(waiting: number): Figures {
    const add = sorted(this.#add);
    return {
      [`enqueue p50 ms with ${waiting}`]: percentile(add, 0.5),
      [`enqueue p99 ms with ${waiting}`]: percentile(add, 0.99),
      [`dequeue p50 ms with ${waiting}`]: this.takeP50,
      [`dequeue p99 ms with ${waiting}`]: this.takeP99,
    };
  }
}

const sorted = (times: readonly number[]): readonly number[] => [...times].sort((a, b) => a - b);
