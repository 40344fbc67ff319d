import { ExpiryHeap } from '#services/cache-node/core/expiry-heap.ts';
import { evictionPolicy } from '#services/cache-node/core/eviction-policy.ts';
import type { CacheStrategy } from '#shared/protocol/cache-schemas.ts';

/** Requests in their order, each by the number of its key: numbers from 0, without gaps. */
export type Trace = Int32Array;

export interface Outcome {
  readonly hits: number;
  readonly requests: number;
}

/** Replays a trace against the policies of the cache node: a miss is followed by a set of the same key. */
export function simulateCache(strategy: CacheStrategy, trace: Trace, entriesMax: number): Outcome {
  const policy = evictionPolicy(strategy);
  const held = new Uint8Array(keysOf(trace));
  let entries = 0;
  let hits = 0;
  for (const key of trace) {
    const hash = scattered(key);
    if (held[key] === 1) {
      hits += 1;
      policy.use(key, hash);
      continue;
    }
    if (entries === entriesMax) {
      const victim = policy.victim() ?? 0;
      policy.evict(victim, scattered(victim));
      held[victim] = 0;
      entries -= 1;
    }
    policy.add(key, hash, 1);
    held[key] = 1;
    entries += 1;
  }
  return { hits, requests: trace.length };
}

/**
 * The most hits that any policy could have, knowing what comes: the key that is asked for again last goes first. As the
 * policies here it must take in every key that was missed.
 * Source: Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal, 1966.
 */
export function optimum(trace: Trace, entriesMax: number): Outcome {
  const next = nextUses(trace);
  const held = new Uint8Array(keysOf(trace));
  /** The earliest is the one with the latest next use. */
  const heap = new ExpiryHeap();
  let entries = 0;
  let hits = 0;
  for (const [at, key] of trace.entries()) {
    if (held[key] === 1) hits += 1;
    else {
      if (entries === entriesMax) {
        const victim = heap.earliest() ?? 0;
        heap.remove(victim);
        held[victim] = 0;
        entries -= 1;
      }
      held[key] = 1;
      entries += 1;
    }
    heap.set(key, -(next[at] ?? 0));
  }
  return { hits, requests: trace.length };
}

/** For each request, when its key is asked for again; the trace's length times two where never. */
function nextUses(trace: Trace): Float64Array {
  const next = new Float64Array(trace.length);
  const last = new Float64Array(keysOf(trace)).fill(2 * trace.length);
  for (let at = trace.length - 1; at >= 0; at -= 1) {
    const key = trace[at] ?? 0;
    next[at] = last[key] ?? 0;
    last[key] = at;
  }
  return next;
}

export function keysOf(trace: Trace): number {
  let most = -1;
  for (const key of trace) if (key > most) most = key;
  return most + 1;
}

/** The finalizer of MurmurHash3: neighbours must not be alike to the policies. */
function scattered(key: number): number {
  let hash = key + 1;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
