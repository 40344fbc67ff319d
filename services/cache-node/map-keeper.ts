import type { Clock } from '#shared/runtime/clock.ts';
import { type NodeMap, firstMap, repeated } from './core/node-map.ts';

/** Where the map is kept: one record that is only ever written over the revision that was read. */
export interface MapRecord {
  /** Revision 0 when nothing was ever written. */
  read(): Promise<{ readonly map: NodeMap | undefined; readonly revision: number }>;
  /** The new revision, or undefined when the record is no longer at `revision`. Throws when the outcome is unknown. */
  write(map: NodeMap, revision: number): Promise<number | undefined>;
}

export interface MapKeeperOptions {
  readonly record: MapRecord;
  readonly clock: Clock;
  /** How long one reading or writing may take, in milliseconds. */
  readonly answerMsMax: number;
  /** Called for each map that is newer than the last one. */
  readonly adopted: (map: NodeMap) => void;
}

/** Conflicts in a row before a change is left to the next occasion: every conflict is somebody else's success. */
const attemptsMax = 32;

/** The map as this process knows it, and the way to change it. */
export class MapKeeper {
  readonly #options: MapKeeperOptions;
  #map: NodeMap;
  #revision = -1;
  /** True while the record holds an older map than is known here: the bucket was lost, or came back from a backup. */
  #isBehind = false;
  #refreshing: Promise<void> | undefined;

  constructor(options: MapKeeperOptions) {
    this.#options = options;
    this.#map = { ...firstMap(0), serial: 0 };
  }

  get map(): NodeMap {
    return this.#map;
  }

  /** Somebody has a map of this serial: a newer one is read. Rejects when it cannot be. */
  async hear(serial: number): Promise<void> {
    // The first reading may have been under way before the map was written.
    for (let reading = 0; reading < 2 && serial > this.#map.serial; reading += 1) await this.refresh();
  }

  /** Reads the record; those who ask while it is read share the answer. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /**
   * Writes what `step` makes of the newest map, again whenever somebody else wrote first.
   * @returns the map that is in force then; undefined when `step` had nothing to change. Rejects when the outcome is
   *   unknown; steps are made so that they can be repeated
   */
  async change(step: (map: NodeMap) => NodeMap | undefined): Promise<NodeMap | undefined> {
    if (this.#revision < 0) await this.#read();
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const base = this.#map.serial === 0 ? firstMap(this.#options.clock.nowMs()) : this.#map;
      const next = step(base);
      if (next === undefined) return undefined;
      const revision = await this.#inTime(this.#options.record.write(next, this.#revision));
      if (revision !== undefined) {
        this.#take(next, revision);
        return next;
      }
      await this.#read();
    }
    throw new Error('the node map is changed by others all the time');
  }

  /** Brings a record that fell behind to what is known here. */
  async repair(): Promise<void> {
    if (this.#isBehind) await this.change((map) => (this.#isBehind ? repeated(map) : undefined));
  }

  async #read(): Promise<void> {
    const { map, revision } = await this.#inTime(this.#options.record.read());
    this.#take(map, revision);
  }

  #take(map: NodeMap | undefined, revision: number): void {
    this.#revision = revision;
    const serial = map?.serial ?? 0;
    this.#isBehind = serial < this.#map.serial;
    if (map === undefined || serial <= this.#map.serial) return;
    this.#map = map;
    this.#options.adopted(map);
  }

  /** An answer that got lost (a restart of NATS) must not keep the next try waiting. */
  #inTime<Value>(answer: Promise<Value>): Promise<Value> {
    const { clock, answerMsMax } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(answerMsMax, () =>
        reject(new Error('no answer about the node map in time')),
      );
      answer.then(resolve, reject).finally(cancel).catch(reject);
    });
  }
}
