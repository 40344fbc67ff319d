import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { truncateLog } from './log-truncation.ts';
import type { Partition } from './partition.ts';
import { type Manifest, snapshotBytes } from './snapshot-format.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import { countingSnapshots, manifestOrNone, writeSnapshot } from './snapshots.ts';

/** A partition under care, and where its snapshots are kept. */
export interface CaredFor {
  readonly number: number;
  readonly partition: Partition;
  readonly snapshots: SnapshotStore;
}

export interface LogCompactorOptions {
  readonly partitions: readonly CaredFor[];
  readonly clock: Clock;
  readonly log: Log;
  /** A log that has changed is snapshotted after this time at the latest. */
  readonly intervalMs: number;
}

/** How often the logs are looked at. */
const lookEveryMs = 250;
/** After a failure a partition is left alone for this long. */
const retryMs = 5_000;

/**
 * Log bytes between two snapshots, as shares of the log's limit. Two stretches stand in the log, and a third one grows
 * while a snapshot is written: with the largest share that is all the room there is before items are refused.
 */
const stepShareMin = 0.2;
const stepShareMax = 0.35;
/** Of a log without a limit. */
const stepBytesOfUnlimited = 256 * 1_048_576;
/** From here on another snapshot is taken just to let the one before it free the log. */
const fullShare = 0.5;
const worthwhileShare = 0.1;

/** The last owner's, behind its snapshot, and this one's: no change that is worth a snapshot. */
const fencesOfATakeover = 2;

/** The newest snapshot of a partition. */
interface Newest {
  readonly bytes: number;
  readonly takenAtMs: number;
  /** What this owner had appended when it was taken. */
  readonly appendedBytes: number;
  /** The older one, and so the log, hold what was removed before it: a second one must follow even if nothing changes. */
  readonly needsSecond: boolean;
}

interface Care extends CaredFor {
  /** Of the newest snapshot; undefined until it was looked for. */
  known: Newest | undefined;
  notBeforeMs: number;
}

/**
 * Keeps the logs of this broker's partitions short: takes snapshots of their tables when enough was appended or enough
 * time has passed, and truncates the logs behind them. One at a time, in the background: requests are decided and
 * appended all the while.
 */
export class LogCompactor {
  readonly #options: LogCompactorOptions;
  readonly #cares: readonly Care[];
  readonly #stopping = new AbortController();
  #cancelLook: () => void = () => undefined;
  /** Snapshots are taken one after the other. */
  #work: Promise<void> = Promise.resolve();
  #underWay = 0;

  constructor(options: LogCompactorOptions) {
    this.#options = options;
    this.#cares = options.partitions.map((one) => ({ ...one, known: undefined, notBeforeMs: 0 }));
  }

  start(): void {
    this.#cancelLook = this.#options.clock.after(lookEveryMs, () => {
      const due = this.#underWay > 0 ? undefined : this.#mostUrgent();
      if (due !== undefined) void this.#inTurn(() => this.#tryOne(due));
      if (!this.#stopping.signal.aborted) this.start();
    });
  }

  /**
   * Snapshots every partition twice, so that nothing of what is not in the tables any more is in logs and snapshots.
   * Rejects when one fails, or when the ownership ends meanwhile.
   */
  async compact(): Promise<void> {
    for (const care of this.#cares)
      await this.#inTurn(async () => {
        await this.#compactOne(care);
        await this.#compactOne(care);
      });
  }

  /** Ends what is under way, and waits for its end. The partitions must still be there. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the broker gives the partitions up'));
    this.#cancelLook();
    await this.#work;
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const before = this.#work;
    const take = async (): Promise<void> => {
      await before;
      this.#stopping.signal.throwIfAborted();
      await action();
    };
    this.#underWay += 1;
    const taken = take().finally(() => {
      this.#underWay -= 1;
    });
    this.#work = taken.catch(() => undefined);
    return taken;
  }

  /** The partition with the fullest log among those that are due. */
  #mostUrgent(): Care | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    const due = this.#cares.filter((care) => nowMs >= care.notBeforeMs && this.#isDue(care, nowMs));
    const fullness = ({ partition: { gauge } }: Care) => gauge.bytes / Math.max(gauge.bytesMax, 1);
    return due.toSorted((a, b) => fullness(b) - fullness(a))[0];
  }

  #isDue({ partition: { gauge }, known }: Care, nowMs: number): boolean {
    const { bytes, bytesMax, appendedBytes } = gauge;
    // It is looked for when there is a reason to, since that is a question to NATS for each partition.
    if (known === undefined) return appendedBytes > 0 || bytes > bytesMax * stepShareMin;
    const since = appendedBytes - known.appendedBytes;
    if (since >= stepOf(bytesMax, known.bytes)) return true;
    if (bytesMax > 0 && bytes >= bytesMax * fullShare && bytes - since > bytesMax * worthwhileShare)
      return true;
    return (since > 0 || known.needsSecond) && nowMs - known.takenAtMs >= this.#options.intervalMs;
  }

  async #tryOne(care: Care): Promise<void> {
    const { clock, log } = this.#options;
    try {
      if (care.known === undefined) await this.#learn(care);
      else await this.#compactOne(care);
    } catch (error) {
      care.notBeforeMs = clock.monotonicMs() + retryMs;
      if (this.#stopping.signal.aborted) return;
      log.warn({ err: error, partition: care.number }, 'the snapshot failed, trying again');
    }
  }

  /** Learns when the newest snapshot was taken, and how much was appended since: by its share of the records. */
  async #learn(care: Care): Promise<void> {
    const { partition } = care;
    const { clock } = this.#options;
    const { bytes, appendedBytes } = partition.gauge;
    const snapshots = this.#stoppable(care.snapshots);
    const [newest, older] = countingSnapshots(await snapshots.list(), partition.logIdentity);
    const manifest = newest === undefined ? undefined : await manifestOrNone(snapshots, newest.snapshot);
    const { firstSequence, lastSequence } = await this.#unlessStopped(partition.records.describe());
    const since = lastSequence - (manifest?.applied.sequence ?? 0);
    const share = since <= fencesOfATakeover ? 0 : since / Math.max(1, lastSequence - firstSequence + 1);
    const ageMs = manifest === undefined ? 0 : Math.max(0, clock.nowMs() - manifest.takenAt);
    care.known = {
      bytes: manifest === undefined ? 0 : snapshotBytes(manifest),
      takenAtMs: clock.monotonicMs() - ageMs,
      appendedBytes: appendedBytes - Math.round(bytes * Math.min(1, share)),
      needsSecond: newest !== undefined && newest.sequence - (older?.sequence ?? 0) > fencesOfATakeover,
    };
  }

  async #compactOne(care: Care): Promise<void> {
    const { number, partition } = care;
    const { clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    const snapshots = this.#stoppable(care.snapshots);
    await this.#unlessStopped(partition.settle());
    const { appendedBytes } = partition.gauge;
    const manifest = await this.#snapshot(care, snapshots);
    const needsSecond = care.known === undefined || appendedBytes > care.known.appendedBytes;
    care.known = { bytes: snapshotBytes(manifest), takenAtMs: startedMs, appendedBytes, needsSecond };
    const { firstSequence, removed } = await this.#unlessStopped(truncateLog(partition, snapshots));
    log.info(
      {
        partition: number,
        sequence: manifest.applied.sequence,
        rows: manifest.counts,
        snapshotBytes: snapshotBytes(manifest),
        durationMs: Math.round(clock.monotonicMs() - startedMs),
        firstSequence,
        logBytes: partition.gauge.bytes,
        removedObjects: removed,
      },
      'a snapshot was taken',
    );
  }

  async #snapshot({ number, partition }: Care, snapshots: SnapshotStore): Promise<Manifest> {
    const view = partition.store.view();
    try {
      return await writeSnapshot({ partition: number, view, snapshots, clock: this.#options.clock });
    } finally {
      view.close();
    }
  }

  /** The same store, whose verbs end when the compactor is to stop: nobody waits for NATS then. */
  #stoppable(snapshots: SnapshotStore): SnapshotStore {
    const until = <T>(promise: Promise<T>) => this.#unlessStopped(promise);
    return {
      list: () => until(snapshots.list()),
      put: (name, bytes) => until(snapshots.put(name, bytes)),
      get: (name) => until(snapshots.get(name)),
      remove: (names) => until(snapshots.remove(names)),
      tidy: () => until(snapshots.tidy()),
    };
  }

  #unlessStopped<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    return new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason as Error);
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    });
  }
}

const stepOf = (bytesMax: number, snapshot: number): number =>
  bytesMax <= 0
    ? Math.max(stepBytesOfUnlimited, snapshot)
    : Math.min(bytesMax * stepShareMax, Math.max(bytesMax * stepShareMin, snapshot));
