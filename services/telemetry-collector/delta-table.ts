import { packRecordAlone, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Environment, Table } from '#shared/runtime/lmdb.ts';
import type { Cut, Position } from './core/deltas.ts';
import type { Series } from './core/series.ts';

/** How far each destination of deltas is, and what is on its way there. */
export interface DeltaStore {
  position(destination: string, id: number): Position | undefined;
  /** Points that were cut, and of which it is not known whether the destination has them. */
  pending(destination: string): readonly Series[];
  /** The points and the positions behind them, in one transaction. Resolves once it is on the disk. */
  cut(destination: string, cuts: readonly Cut[]): Promise<void>;
  /** The destination has what was pending, or has refused it for good. */
  arrived(destination: string): Promise<void>;
}

/** Deltas in LMDB. */
export class DeltaTable implements DeltaStore {
  readonly #environment: Environment;
  readonly #positions: Table<string>;
  readonly #pending: Table<string>;

  constructor(environment: Environment) {
    this.#environment = environment;
    this.#positions = environment.table('delta-positions');
    this.#pending = environment.table('delta-pending');
  }

  position(destination: string, id: number): Position | undefined {
    const row = this.#positions.get(keyOf(destination, id));
    return row === undefined ? undefined : (unpackRecord(row) as Position);
  }

  pending(destination: string): readonly Series[] {
    const row = this.#pending.get(destination);
    return row === undefined ? [] : (unpackRecord(row) as readonly Series[]);
  }

  async cut(destination: string, cuts: readonly Cut[]): Promise<void> {
    const points = packRecordAlone(cuts.map(({ point }) => point));
    const positions = cuts.map(
      ({ point, position }) => [keyOf(destination, point.id), packRecordAlone(position)] as const,
    );
    await this.#environment.transaction((writes) => {
      writes.put(this.#pending, destination, points);
      for (const [key, position] of positions) writes.put(this.#positions, key, position);
    });
    await this.#environment.flushed();
  }

  async arrived(destination: string): Promise<void> {
    // Not waited for on the disk: the commit that settles the messages comes after it, and waits.
    await this.#environment.transaction((writes) => writes.remove(this.#pending, destination));
  }
}

const keyOf = (destination: string, id: number): string => `${destination}/${id}`;
