import type { Latencies } from '#tests/bench/timed-calls.ts';

// What a client process of the cache's benchmarks can be asked to do, the same on both sides of a comparison.

/** Where a client process connects to. */
export type Address =
  | { readonly system: 'trivet'; readonly url: string; readonly nearEntriesMax?: number }
  | { readonly system: 'trivet-plain'; readonly url: string }
  | { readonly system: 'redis'; readonly port: number }
  | ServicesAddress
  | { readonly system: 'bentocache-memory' };

/** An anonymous local client may use what is Trivet's alone: these come as a service does. */
export interface ServicesAddress {
  readonly system: 'nats-kv' | 'nats-echo';
  readonly url: string;
  readonly user: string;
  readonly pass: string;
  /** Of an echo: whether it is the side that answers. */
  readonly answers?: boolean;
}

export interface Mix {
  readonly count: number;
  readonly callers: number;
  readonly keys: number;
  /** Share of calls that set, in [0, 1]. */
  readonly writes: number;
  /** How keys are drawn: all alike, or by Zipf's law with this exponent. */
  readonly zipf?: number;
  readonly seed: number;
  /** Whether single calls are timed: where a call takes less than a microsecond, timing it would be most of it. */
  readonly timed: boolean;
}

export interface MixOutcome {
  readonly seconds: number;
  readonly latencies?: Latencies;
  /** Reads that the process answered itself, of all reads; 0 where there is no near cache. */
  readonly nearHitRatio: number;
}

export interface Tasks {
  /** Sets `keys` keys once, so that every read hits. */
  fill: { input: { readonly keys: number }; output: undefined };
  /** Gets and sets as a `Mix` says; fails when a value that was read is not one that was set for its key. */
  mix: { input: Mix; output: MixOutcome };
  /** Gets `size` keys a call; `count` counts keys. */
  'get-many': {
    input: {
      readonly count: number;
      readonly callers: number;
      readonly keys: number;
      readonly size: number;
      readonly seed: number;
    };
    output: MixOutcome;
  };
  /** Sets a key to the time, again and again, as another process does while `watch` reads it. */
  write: { input: { readonly times: number; readonly everyMs: number }; output: undefined };
  /** Reads what `write` writes, all the time: how long after a write was sent it was read here, in milliseconds. */
  watch: { input: { readonly times: number }; output: Latencies };
}
