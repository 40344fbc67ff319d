import { workerSeenMs, workersMax } from '#shared/protocol/limits.ts';
import type { StateEvent } from './core/state-event.ts';

/** When a worker was first and last seen, epoch milliseconds. */
export interface Seen {
  readonly since: number;
  lastAt: number;
}

type Sightings = Map<string, Map<string, Seen>>;

/**
 * Which workers were seen at which queue, by the names that they give to `dequeue`; `""` stands for all without one.
 * Whoever shows no sign for a minute is forgotten: sightings are kept in two generations of a minute each, so that
 * forgetting costs nothing. Not durable, and known to this broker alone.
 */
export class WorkerRegistry {
  #now: Sightings = new Map();
  #before: Sightings = new Map();
  #begunAt = 0;

  /** A worker has asked for something, or finished something, at a queue. */
  seen(queue: string, worker: string, nowMs: number): void {
    if (nowMs - this.#begunAt >= workerSeenMs) this.#age(nowMs);
    const here = this.#now.get(queue);
    const known = here?.get(worker);
    if (known !== undefined) known.lastAt = nowMs;
    else this.#remember(queue, worker, nowMs);
  }

  /** Takes note of who was at work. */
  add(events: readonly StateEvent[], nowMs: number): void {
    let lastQueue: string | undefined;
    let lastWorker: string | undefined;
    for (const { queue, worker } of events) {
      // Events of one worker mostly stand together, as one request brought them.
      if (worker === undefined || (worker === lastWorker && queue === lastQueue)) continue;
      this.seen(queue, worker, nowMs);
      lastQueue = queue;
      lastWorker = worker;
    }
  }

  /** Who was seen at a queue within the last minute. */
  *of(queue: string, nowMs: number): Iterable<readonly [worker: string, seen: Seen]> {
    const newer = this.#now.get(queue);
    for (const [worker, seen] of newer ?? []) if (isRecent(seen, nowMs)) yield [worker, seen];
    for (const [worker, seen] of this.#before.get(queue) ?? [])
      if (newer?.has(worker) !== true && isRecent(seen, nowMs)) yield [worker, seen];
  }

  #remember(queue: string, worker: string, nowMs: number): void {
    let here = this.#now.get(queue);
    if (here === undefined) {
      here = new Map();
      this.#now.set(queue, here);
    }
    if (here.size >= workersMax) return;
    const known = this.#before.get(queue)?.get(worker);
    const since = known !== undefined && isRecent(known, nowMs) ? known.since : nowMs;
    here.set(worker, { since, lastAt: nowMs });
  }

  #age(nowMs: number): void {
    this.#before = nowMs - this.#begunAt < 2 * workerSeenMs ? this.#now : new Map();
    this.#now = new Map();
    this.#begunAt = nowMs;
  }
}

const isRecent = ({ lastAt }: Seen, nowMs: number): boolean => nowMs - lastAt <= workerSeenMs;
