import { jsonText } from '#shared/protocol/encoding.ts';
import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { LogEntry } from './core/interpret.ts';
import { isAtLeast } from './core/levels.ts';

export interface TailRequest {
  readonly inbox: string;
  readonly kinds: readonly LogEntry['kind'][] | undefined;
  readonly source: string | undefined;
  readonly level: TelemetryLevel | undefined;
  /** Records that it takes until it asks again. */
  readonly max: number;
  readonly leaseMs: number;
}

export interface TailsOptions {
  readonly publish: (inbox: string, body: string) => void;
  readonly view: (entry: LogEntry) => object;
  readonly clock: Clock;
}

interface Tail {
  readonly request: TailRequest;
  readonly endsMs: number;
  left: number;
  missed: number;
}

// Tails of one collector: each costs an encoding of every record.
const tailsMax = 32;
const recordsPerMessageMax = 250;

/**
 * Those who watch records as they come. Each has asked for so many records and for so long, and gets no more before it
 * asks again: a reader that is slow or gone misses records, and is then dropped. Nothing ever waits for it.
 */
export class Tails {
  readonly #options: TailsOptions;
  readonly #tails = new Map<string, Tail>();
  #dropped = 0;

  constructor(options: TailsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#tails.size;
  }

  /** Readers that did not ask again in time, since this process began. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Opens a tail, or goes on with the one of this inbox. @returns false when there are too many */
  open(request: TailRequest): boolean {
    const known = this.#tails.get(request.inbox);
    // Whose time is over is found with the next record, and none may have come since.
    if (known === undefined && this.#tails.size >= tailsMax) this.offer([]);
    if (known === undefined && this.#tails.size >= tailsMax) return false;
    const endsMs = this.#options.clock.monotonicMs() + request.leaseMs;
    this.#tails.set(request.inbox, { request, endsMs, left: request.max, missed: 0 });
    if (known !== undefined && known.missed > 0) this.#say(request.inbox, { missed: known.missed });
    return true;
  }

  offer(entries: readonly LogEntry[]): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [inbox, tail] of this.#tails) {
      if (nowMs >= tail.endsMs) {
        this.#tails.delete(inbox);
        this.#dropped += 1;
        this.#say(inbox, { ended: true, missed: tail.missed });
        continue;
      }
      const wanted = entries.filter((entry) => isWanted(entry, tail.request));
      const sent = wanted.slice(0, tail.left);
      tail.left -= sent.length;
      tail.missed += wanted.length - sent.length;
      for (let start = 0; start < sent.length; start += recordsPerMessageMax) {
        const records = sent.slice(start, start + recordsPerMessageMax).map((one) => this.#options.view(one));
        this.#say(inbox, { records });
      }
    }
  }

  #say(inbox: string, value: object): void {
    this.#options.publish(inbox, jsonText(value));
  }
}

const isWanted = (entry: LogEntry, { kinds, source, level }: TailRequest): boolean =>
  (kinds === undefined || kinds.includes(entry.kind)) &&
  (source === undefined || source === entry.source) &&
  (level === undefined || isAtLeast(entry.level, level));
