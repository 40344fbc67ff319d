import { cacheFillsMax, cacheLoadWaitersMax } from '#shared/protocol/limits.ts';
import type { Entry } from './entry.ts';
import { Timers } from './timers.ts';

/** The right to fill a key: whoever has the token may, until the lease ends. */
export interface FillRight {
  readonly token: number;
  readonly leaseMs: number;
}

/** What a `load` comes to. */
export type LoadOutcome =
  /** `right`: the caller is to refresh the entry, which it gets as it is. */
  | { readonly kind: 'hit'; readonly entry: Entry; readonly nowMs: number; readonly right?: FillRight }
  | { readonly kind: 'granted'; readonly right: FillRight }
  | { readonly kind: 'failed'; readonly message: string; readonly retryAfterMs: number }
  /** Nobody filled the key within the caller's wait. */
  | { readonly kind: 'late' }
  /** The node holds its most fills or waiters. */
  | { readonly kind: 'full' }
  /** The node no longer answers for the key. */
  | { readonly kind: 'closed' };

/** A caller that waits for a fill; it is answered once. */
export interface Waiter {
  answer(outcome: LoadOutcome): void;
}

/** A right, or a failure, as it goes from node to node: in durations, since no two nodes have the same clock. */
export type FillRecord =
  | {
      readonly kind: 'right';
      readonly key: string;
      readonly token: number;
      readonly leaseMs: number;
      readonly lastedMs: number;
    }
  | { readonly kind: 'failure'; readonly key: string; readonly message: string; readonly restMs: number };

export interface FillRequest {
  readonly leaseMs: number;
  readonly waitMs: number;
  readonly waiter: Waiter;
}

interface Waiting {
  readonly waiter: Waiter;
  readonly leaseMs: number;
  /** Those who wait for the same fill; whoever is answered leaves it. */
  readonly line: Set<Waiting>;
  timer: number;
}

interface Fill extends FillRight {
  readonly key: string;
  readonly grantedAtMs: number;
  readonly timer: number;
  /** In the order in which they came. */
  readonly line: Set<Waiting>;
}

type Due =
  | { readonly kind: 'lease'; readonly key: string }
  | { readonly kind: 'wait'; readonly waiting: Waiting }
  | { readonly kind: 'failure'; readonly key: string };

/**
 * The rights to fill the keys of one namespace: one for each key, with a token; whoever else asks waits. What was read
 * from the source before a deletion must not land behind it, so a deletion ends the right.
 * Source: Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013 (leases).
 */
export class Fills {
  readonly #nextToken: () => number;
  readonly #fills = new Map<string, Fill>();
  readonly #failures = new Map<
    string,
    { readonly message: string; readonly untilMs: number; readonly timer: number }
  >();
  readonly #due = new Timers<Due>();
  readonly #counts = { granted: 0, failed: 0, expired: 0, waiting: 0 };

  /** @param nextToken grows with each call, and over restarts */
  constructor(nextToken: () => number) {
    this.#nextToken = nextToken;
  }

  get figures() {
    return { ...this.#counts };
  }

  /** Keys that are being filled. */
  get size(): number {
    return this.#fills.size;
  }

  /** When something is due next; Infinity when nothing is. */
  get nextDueMs(): number {
    return this.#due.nextMs;
  }

  /** The right, or undefined where the caller waits: its waiter is answered later. */
  ask(key: string, request: FillRequest, nowMs: number): LoadOutcome | undefined {
    const failure = this.#failureOf(key, nowMs);
    if (failure !== undefined) return failure;
    const fill = this.#fills.get(key);
    if (fill === undefined) {
      const right = this.offer(key, request.leaseMs, nowMs);
      return right === undefined ? { kind: 'full' } : { kind: 'granted', right };
    }
    if (request.waitMs === 0) return { kind: 'late' };
    if (this.#counts.waiting >= cacheLoadWaitersMax) return { kind: 'full' };
    const waiting: Waiting = { waiter: request.waiter, leaseMs: request.leaseMs, line: fill.line, timer: 0 };
    waiting.timer = this.#due.add(nowMs + request.waitMs, { kind: 'wait', waiting });
    fill.line.add(waiting);
    this.#counts.waiting += 1;
    return undefined;
  }

  /** The right, unless somebody has it, or a failure keeps it back: for an entry that is served meanwhile. */
  offer(key: string, leaseMs: number, nowMs: number): FillRight | undefined {
    if (this.#fills.has(key) || this.#failureOf(key, nowMs) !== undefined) return undefined;
    if (this.#fills.size >= cacheFillsMax) return undefined;
    return this.#grant(key, { leaseMs, line: new Set(), nowMs });
  }

  /** Whether `token` is the right in force. */
  holds(key: string, token: number): boolean {
    return this.#fills.get(key)?.token === token;
  }

  /** How long the fill of `key` has taken; 0 when there is none. */
  fillMs(key: string, nowMs: number): number {
    const fill = this.#fills.get(key);
    return fill === undefined ? 0 : nowMs - fill.grantedAtMs;
  }

  /** The key has a value now, whoever set it: all who wait get it. */
  filled(key: string, entry: () => Entry | undefined, nowMs: number): void {
    this.#forgetFailure(key);
    for (const waiting of this.#end(key)?.line ?? []) {
      const found = entry();
      this.#answer(waiting, found === undefined ? { kind: 'late' } : { kind: 'hit', entry: found, nowMs });
    }
  }

  /** The fill failed: all who wait hear of it, and who asks within `ttlMs`, too. */
  failed(key: string, failure: { readonly message: string; readonly ttlMs: number }, nowMs: number): void {
    const fill = this.#end(key);
    this.#counts.failed += 1;
    const { message, ttlMs } = failure;
    if (ttlMs > 0 && this.#failures.size < cacheFillsMax) {
      this.#forgetFailure(key);
      const timer = this.#due.add(nowMs + ttlMs, { kind: 'failure', key });
      this.#failures.set(key, { message, untilMs: nowMs + ttlMs, timer });
    }
    for (const waiting of fill?.line ?? [])
      this.#answer(waiting, { kind: 'failed', message, retryAfterMs: ttlMs });
  }

  /** The right ends without a value; who has waited longest gets a new one. */
  pass(key: string, nowMs: number): void {
    this.#forgetFailure(key);
    const fill = this.#end(key);
    if (fill === undefined) return;
    const [heir] = fill.line;
    if (heir === undefined) return;
    const right = this.#grant(key, { leaseMs: heir.leaseMs, line: fill.line, nowMs });
    this.#answer(heir, { kind: 'granted', right });
  }

  /** All rights end as in `pass`. O(fills). */
  passAll(nowMs: number): void {
    for (const key of this.#failures.keys()) this.#forgetFailure(key);
    // Those of before: a right that is passed on is a new one under the same key.
    const keys = [...this.#fills.keys()];
    for (const key of keys) this.pass(key, nowMs);
  }

  /** The node no longer answers for the keys that `wanted` says: who waits for them is told. */
  close(wanted: (key: string) => boolean = () => true): void {
    for (const key of this.#fills.keys())
      if (wanted(key))
        for (const waiting of this.#end(key)?.line ?? []) this.#answer(waiting, { kind: 'closed' });
    for (const key of this.#failures.keys()) if (wanted(key)) this.#forgetFailure(key);
  }

  /** The rights in force and the failures that are remembered, of the keys that `wanted` says: for another node. */
  records(wanted: (key: string) => boolean, nowMs: number): readonly FillRecord[] {
    const records: FillRecord[] = [];
    for (const { key, token, leaseMs, grantedAtMs } of this.#fills.values()) {
      const lastedMs = nowMs - grantedAtMs;
      if (wanted(key)) records.push({ kind: 'right', key, token, leaseMs, lastedMs });
    }
    for (const [key, { message, untilMs }] of this.#failures)
      if (wanted(key)) records.push({ kind: 'failure', key, message, restMs: untilMs - nowMs });
    return records;
  }

  /** Takes over what another node had; what has ended meanwhile ends with the next `expire`. */
  admit(record: FillRecord, nowMs: number): void {
    const { key } = record;
    if (record.kind === 'failure') {
      const untilMs = nowMs + record.restMs;
      const timer = this.#due.add(untilMs, { kind: 'failure', key });
      this.#failures.set(key, { message: record.message, untilMs, timer });
      return;
    }
    const { token, leaseMs, lastedMs } = record;
    const grantedAtMs = nowMs - lastedMs;
    const timer = this.#due.add(grantedAtMs + leaseMs, { kind: 'lease', key });
    this.#fills.set(key, { key, token, leaseMs, grantedAtMs, timer, line: new Set() });
  }

  /** Leases and waits that have ended, at most so many; returns how many there were. */
  expire(stepsMax: number, nowMs: number): number {
    let steps = 0;
    for (; steps < stepsMax; steps += 1) {
      const due = this.#due.take(nowMs);
      if (due === undefined) return steps;
      if (due.kind === 'wait') this.#answer(due.waiting, { kind: 'late' });
      else if (due.kind === 'failure') this.#failures.delete(due.key);
      else {
        this.#counts.expired += 1;
        this.pass(due.key, nowMs);
      }
    }
    return steps;
  }

  #grant(
    key: string,
    {
      leaseMs,
      line,
      nowMs,
    }: { readonly leaseMs: number; readonly line: Set<Waiting>; readonly nowMs: number },
  ): FillRight {
    const token = this.#nextToken();
    const timer = this.#due.add(nowMs + leaseMs, { kind: 'lease', key });
    this.#fills.set(key, { key, token, leaseMs, grantedAtMs: nowMs, timer, line });
    this.#counts.granted += 1;
    return { token, leaseMs };
  }

  #end(key: string): Fill | undefined {
    const fill = this.#fills.get(key);
    if (fill === undefined) return undefined;
    this.#fills.delete(key);
    this.#due.cancel(fill.timer);
    return fill;
  }

  #answer(waiting: Waiting, outcome: LoadOutcome): void {
    if (!waiting.line.delete(waiting)) return;
    this.#due.cancel(waiting.timer);
    this.#counts.waiting -= 1;
    waiting.waiter.answer(outcome);
  }

  #failureOf(key: string, nowMs: number): LoadOutcome | undefined {
    const failure = this.#failures.get(key);
    if (failure === undefined || nowMs >= failure.untilMs) return undefined;
    return { kind: 'failed', message: failure.message, retryAfterMs: Math.ceil(failure.untilMs - nowMs) };
  }

  #forgetFailure(key: string): void {
    const failure = this.#failures.get(key);
    if (failure === undefined) return;
    this.#failures.delete(key);
    this.#due.cancel(failure.timer);
  }
}
