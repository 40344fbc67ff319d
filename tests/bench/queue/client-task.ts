import type { Latencies } from '#tests/bench/timed-calls.ts';

// What a client process can be asked to do. Both sides of a comparison do the same, in processes of the same kind.

/** Where a client process connects to. */
export type Address =
  { readonly system: 'trivet'; readonly url: string } | { readonly system: 'bullmq'; readonly port: number };

export interface Fill {
  readonly queue: string;
  readonly count: number;
  /** The four priorities by turns; else none is asked for. */
  readonly bands?: boolean;
  /** Groups by turns (Trivet alone). */
  readonly groups?: number;
  /** A payload of exactly so many bytes of JSON, instead of the usual small one. */
  readonly payloadBytes?: number;
}

export interface Tasks {
  /** One item a call, by `callers` at once. */
  'add-singly': {
    input: { readonly queue: string; readonly count: number; readonly callers: number };
    output: Latencies & { readonly seconds: number };
  };
  /** Batches of `size`, by `callers` at once; the latencies are those of a batch. */
  'add-batches': {
    input: {
      readonly queue: string;
      readonly count: number;
      readonly callers: number;
      readonly size: number;
    };
    output: Latencies & { readonly seconds: number };
  };
  fill: { input: Fill; output: undefined };
  /** An open loop: an item is added when its time has come, whether the ones before it were answered or not. */
  'add-steadily': {
    input: { readonly queue: string; readonly perSecond: number; readonly count: number };
    output: { readonly perSecond: number };
  };
  /** Whether a queue keeps what is done. Said before its first item. */
  prepare: { input: { readonly queue: string; readonly keepDone: boolean }; output: undefined };
  /** Begins to work; progress reports say how many items were handled since the last one. */
  work: {
    input: {
      readonly queue: string;
      readonly concurrency: number;
      readonly keepDone: boolean;
      /** How long a handler holds its slot. Default 0: it returns at once. */
      readonly holdMs?: number;
    };
    output: undefined;
  };
  /** Resolves when the outcome of everything that was handled is as durable as the system makes it. */
  settle: { input: undefined; output: undefined };
  /** Ends the worker. `waited` is the time from `add` to the handler, for items that were added steadily. */
  'stop-work': { input: undefined; output: { readonly handled: number; readonly waited: Latencies } };
  /** By each caller in turn: add one, take one, complete it. Trivet alone, as are those below. */
  'add-and-take': {
    input: {
      readonly queue: string;
      readonly count: number;
      readonly callers: number;
      readonly payloadBytes: number;
    };
    output: { readonly addMs: readonly number[]; readonly takeMs: readonly number[] };
  };
  /** Dequeues and keeps the leases, until `count` items were had or nothing is handed out any more. */
  drain: {
    input: { readonly queue: string; readonly count: number; readonly callers: number; readonly max: number };
    output: { readonly seconds: number; readonly items: number };
  };
  /** Resolves when nothing is kept of the done items of a queue that was told to keep none; rejects when they stay. */
  'see-removed': { input: { readonly queue: string }; output: undefined };
  'limit-groups': { input: { readonly queue: string; readonly perGroup: number }; output: undefined };
}
