import type { Clock } from '#shared/runtime/clock.ts';
import type { Backend, Quota } from './backend.ts';
import type { Residence } from './core/residence.ts';
import type { TierRecord } from './tier-record.ts';

export interface TierOptions {
  readonly namespace: string;
  /** Name of the process, stable over restarts. */
  readonly node: string;
  readonly backend: Backend;
  /** A file is this process's own: one that another process has used since is void. */
  readonly isOwn: boolean;
  readonly front: Residence;
  readonly clock: Clock;
  /** The time that entries expire by. */
  readonly nowMs: () => number;
  readonly versions: {
    readonly next: () => number;
    /** Makes the next one greater than this. */
    readonly raise: (version: number) => void;
  };
  /** Whether the key is this process's to write: it may have been given to another one since it changed. */
  readonly isMine: (key: string) => boolean;
  readonly quota: () => Quota;
  readonly record: TierRecord;
  /**
   * When the line of maps began by which this process counts (core/node-map.ts). What was noted under another one says
   * nothing: others may have answered since for what is in the backend, and nobody knows.
   */
  readonly bornMs: () => number;
  /** Rows up to this stamp are void: they are from before the namespace had this backend. */
  readonly since: number;
  /** Memory holds entries that are to be written, too: the namespace has just got this backend. */
  readonly copies: boolean;
  /** How long a call may take. The backend gets four fifths of it, what stands in for it the rest. */
  readonly deadlineMs: number;
  readonly changed: (state: TierState) => void;
}

export type TierState =
  | { readonly degraded: true; readonly fault: unknown }
  | { readonly degraded: false; readonly outageMs: number };
