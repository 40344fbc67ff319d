import { type TransitionTable, compileTable } from '#services/queue-broker/core/transition-table.ts';
import { type Retention, defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import { LogCompactor } from '#services/queue-broker/log-compactor.ts';
import { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { FencedError, type LogRecord } from '#services/queue-broker/partition-log.ts';
import { type Recovered, recoverPartition } from '#services/queue-broker/partition-recovery.ts';
import { Partition } from '#services/queue-broker/partition.ts';
import { readName } from '#services/queue-broker/snapshot-format.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import { madeSlots } from './made-slots.ts';
import { SeededRandom } from './seeded-random.ts';
import { ProcessClock, VirtualClock } from './virtual-clock.ts';
import { type CommitFate, DiskError, openDisk } from './virtual-disk.ts';
import { type Fate, NoAnswerError, VirtualLog, VirtualStream, calmNetwork } from './virtual-log.ts';
import { openSnapshots, withFlippedBit } from './virtual-snapshots.ts';

/** Small enough that a run truncates its log several times, large enough that nothing is refused for it. */
const logBytesMax = 60_000;
const snapshotIntervalMs = 60_000;

const silent = createLog('simulation', 'silent');
export const transitions: TransitionTable = compileTable();

export interface WorldOptions {
  readonly seed: number;
  readonly retention: Retention;
  /** Sees every record the moment that it is in the log. */
  readonly onRecord: (record: LogRecord) => void;
}

/** One partition's whole world, from one seed: time, network, log, disks, and the brokers that want to own it. */
export class VirtualWorld {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly retention: Retention;
  readonly stream: VirtualStream;
  readonly objects = new MemorySnapshots();
  /** The snapshot that rots, while it is there: the others must make up for it. */
  #rotten: string | undefined;
  readonly brokers: readonly VirtualBroker[];
  /** What broke without a fault of the world having caused it: always a bug. */
  readonly failures: Error[] = [];
  faulty = true;

  constructor(options: WorldOptions) {
    this.random = new SeededRandom(options.seed);
    this.retention = options.retention;
    this.stream = new VirtualStream((record) => {
      try {
        options.onRecord(record);
      } catch (error) {
        this.fail(error);
      }
    }, logBytesMax);
    this.brokers = ['a', 'b'].map((name) => new VirtualBroker(this, name));
  }

  fail(error: unknown): void {
    this.failures.push(error instanceof Error ? error : new Error('something was thrown', { cause: error }));
  }

  /** What becomes of a message: mostly it arrives, sometimes it is lost, doubled, late, or not answered. */
  fate(): Fate {
    const { random } = this;
    if (!this.faulty) return calmNetwork.fate();
    const arrivalMs = random.integer(0, 8);
    const answerMs = random.chance(0.04) ? undefined : random.integer(0, 8);
    if (random.chance(0.03)) return { arrivalsMs: [], answerMs };
    if (random.chance(0.03)) return { arrivalsMs: [random.integer(1_000, 60_000)], answerMs };
    if (random.chance(0.04)) return { arrivalsMs: [arrivalMs, random.integer(0, 200_000)], answerMs };
    return { arrivalsMs: [arrivalMs], answerMs };
  }

  commitFate(): CommitFate {
    const { random } = this;
    if (!this.faulty) return { beforeMs: 1, afterMs: 1, fails: false };
    const slow = random.chance(0.1) ? 3_000 : 20;
    return { beforeMs: random.integer(0, slow), afterMs: random.integer(0, 20), fails: random.chance(0.02) };
  }

  /** Damages one object of a snapshot that counts. One at a time: of two there is always a whole one. */
  async rot(): Promise<void> {
    const names = await this.objects.list();
    const counting = names.filter((name) => readName(name)?.isManifest === true);
    if (counting.length < 2 || names.some((name) => readName(name)?.snapshot === this.#rotten)) return;
    const name = this.random.pick(names);
    this.#rotten = readName(name)?.snapshot;
    const bytes = await this.objects.get(name);
    if (bytes !== undefined) await this.objects.put(name, withFlippedBit(bytes, this.random));
  }

  /** Takes the partition from a copy of the log and these rows, in a time of its own: nobody else notices. */
  async recoverCopy(rows: MemoryStore): Promise<Recovered> {
    const clock = new VirtualClock(this.clock.nowMs());
    const stream = this.stream.copy();
    const records = new VirtualLog({ stream, world: clock, process: clock, network: calmNetwork });
    const fate = () => ({ beforeMs: 0, afterMs: 0, fails: false });
    const store = openDisk({ rows, process: clock, fate });
    const snapshots = this.objects;
    // The fence of every copy says the same moment, however long it took to get there: only then can they be equal.
    const atMs = clock.nowMs();
    const still: Clock = {
      nowMs: () => atMs,
      monotonicMs: () => clock.monotonicMs(),
      after: (delayMs, action) => clock.after(delayMs, action),
    };
    const recovery = { ...this.recovery('copy'), clock: still, records, store, snapshots };
    return clock.until(recoverPartition(recovery));
  }

  recovery(broker: string) {
    const defaults = { ...defaultSettings, retention: this.retention };
    return { partition: 0, broker, log: silent, transitions, defaults };
  }
}

/** A broker with a disk of its own. What happens to its process does not happen to its disk. */
export class VirtualBroker {
  readonly name: string;
  readonly #world: VirtualWorld;
  rows = new MemoryStore();
  #process: ProcessClock | undefined;
  #partition: Partition | undefined;
  #compactor: LogCompactor | undefined;
  #paused = false;

  constructor(world: VirtualWorld, name: string) {
    this.#world = world;
    this.name = name;
  }

  /** The partition, while this broker believes that it owns it and its process runs. */
  get partition(): Partition | undefined {
    return this.#paused ? undefined : this.#partition;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  get runs(): boolean {
    return this.#process !== undefined;
  }

  /** True when nobody has raised a fence since this broker did. */
  get ownsTheLog(): boolean {
    return (
      this.#partition !== undefined && this.#partition.table.applied.epoch === this.#world.stream.lastFence
    );
  }

  /** Starts the process, which tries to take the partition; time must pass until it has. */
  start(): void {
    if (this.runs) return;
    const world = this.#world;
    const process = new ProcessClock(world.clock, world.faulty ? world.random.integer(-2_000, 2_000) : 0);
    this.#process = process;
    this.#recover(process).catch((error: unknown) => {
      if (process.hasEnded) return;
      if (!isWorldsFault(error)) world.fail(error);
      this.crash();
    });
  }

  /** The process dies: nothing that it waited for comes any more. Messages that it has sent are under way all the same. */
  crash(): void {
    this.#process?.end();
    this.#process = undefined;
    this.#partition = undefined;
    this.#compactor = undefined;
    this.#paused = false;
  }

  /** Takes two snapshots and truncates the log, if nothing comes between. */
  compact(): void {
    // What comes between is a fault of the world, or shows elsewhere.
    this.#compactor?.compact().catch(() => undefined);
  }

  pause(): void {
    if (this.#process === undefined) return;
    this.#paused = true;
    this.#process.pause();
  }

  wake(): void {
    this.#paused = false;
    this.#process?.wake();
  }

  /** Loses the disk: the next owner here begins from the log alone. */
  loseDisk(): void {
    this.crash();
    this.rows = new MemoryStore();
  }

  /** Ends in an orderly way; time must pass until it has. */
  async drain(): Promise<void> {
    await this.#compactor?.stop();
    await this.#partition?.drain();
    this.crash();
  }

  async #recover(process: ProcessClock): Promise<void> {
    const world = this.#world;
    const network = { fate: () => world.fate() };
    const records = new VirtualLog({ stream: world.stream, world: world.clock, process, network });
    const store = openDisk({ rows: this.rows, process, fate: () => world.commitFate() });
    const shared = { ...world.recovery(this.name), clock: process, records, store };
    const { objects, random } = world;
    const snapshots = openSnapshots({ objects, process, random, isFaulty: () => world.faulty });
    const recovered = await recoverPartition({ ...shared, snapshots });
    if (process.hasEnded) return;
    const partition = new Partition({
      ...shared,
      ...recovered,
      random01: () => world.random.next01(),
      slots: madeSlots(),
      announcement: () => () => undefined,
      lost: (error) => this.#lose(process, error),
    });
    this.#partition = partition;
    this.#compactor = new LogCompactor({
      partitions: [{ number: 0, partition, snapshots }],
      clock: process,
      log: silent,
      intervalMs: snapshotIntervalMs,
    });
    this.#compactor.start();
  }

  #lose(process: ProcessClock, error: unknown): void {
    if (process.hasEnded) return;
    if (!isWorldsFault(error)) this.#world.fail(error);
    this.#partition?.abandon().catch((failure: unknown) => this.#world.fail(failure));
    this.crash();
  }
}

const isWorldsFault = (error: unknown): boolean =>
  error instanceof FencedError || error instanceof DiskError || error instanceof NoAnswerError;
