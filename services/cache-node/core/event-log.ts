import type { CacheEvent, MissedReply } from '#shared/protocol/cache-schemas.ts';
import {
  cacheEventBytesMax,
  cacheEventKeysMax,
  cacheEventsKeptBytesMax,
  cacheEventsKeptMax,
} from '#shared/protocol/limits.ts';
import type { Change } from './residence.ts';

type EventBody = CacheEvent extends infer One ? Omit<One, 'epoch' | 'sequence'> : never;

interface OpenEvent {
  readonly kind: 'keys' | 'evicted' | 'expired';
  readonly keys: string[];
  readonly versions: number[];
  bytes: number;
}

interface Kept {
  readonly event: CacheEvent;
  readonly bytes: number;
}

/** What one key, or tag, of an event weighs beside its own length: quotes, comma, version. */
const keyBytesMore = 24;

const weightOf = (words: readonly string[]): number =>
  words.reduce((sum, word) => sum + word.length * 3 + keyBytesMore, 0);

/**
 * The events of one namespace in one epoch: changes become events with numbers that have no gap, many keys to one
 * event; the newest events are kept for whoever missed one.
 */
export class EventLog {
  readonly #epoch: string;
  #sequence = 0;
  #open: OpenEvent | undefined;
  /** Numbered and not yet taken. */
  #made: CacheEvent[] = [];
  /** Undefined where an event is forgotten and its place not yet taken out. */
  readonly #kept: (Kept | undefined)[] = [];
  #keptFrom = 0;
  #keptBytes = 0;

  constructor(epoch: string) {
    this.#epoch = epoch;
  }

  /** True when something waits to be taken. */
  get isWaiting(): boolean {
    return this.#open !== undefined || this.#made.length > 0;
  }

  note(change: Change): void {
    switch (change.kind) {
      case 'written':
      case 'moved':
      case 'deleted':
        this.#addKey('keys', change.key, change.version);
        break;
      case 'evicted':
      case 'expired':
        this.#addKey(change.kind, change.key, change.version);
        break;
      case 'cleared':
        this.#make({ clear: true, version: change.version });
        break;
      case 'tags-invalidated':
        this.#make({ tags: [...change.tags], version: change.version }, weightOf(change.tags));
        break;
      case 'configured':
        break;
    }
  }

  /** Memory stands in for the backend, or no longer does. */
  degraded(isDegraded: boolean): void {
    this.#make({ degraded: isDegraded });
  }

  /** What is to be published now, in order. */
  take(): readonly CacheEvent[] {
    this.#close();
    const made = this.#made;
    this.#made = [];
    return made;
  }

  /** The last number again, so that whoever missed it notices. */
  heartbeat(): CacheEvent {
    return { epoch: this.#epoch, sequence: this.#sequence, heartbeat: true };
  }

  missed(epoch: string, after: number): MissedReply {
    const head = { epoch: this.#epoch, sequence: this.#sequence };
    const first = this.#kept[this.#keptFrom]?.event.sequence ?? this.#sequence + 1;
    if (epoch !== this.#epoch || after > this.#sequence || after + 1 < first) return head;
    const from = this.#keptFrom + (after + 1 - first);
    return { ...head, events: this.#kept.slice(from).flatMap((kept) => kept?.event ?? []) };
  }

  #addKey(kind: OpenEvent['kind'], key: string, version: number): void {
    const bytes = weightOf([key]);
    const open = this.#open;
    if (
      open === undefined ||
      open.kind !== kind ||
      open.keys.length >= cacheEventKeysMax ||
      open.bytes + bytes > cacheEventBytesMax
    ) {
      this.#close();
      this.#open = { kind, keys: [key], versions: [version], bytes };
      return;
    }
    open.keys.push(key);
    open.versions.push(version);
    open.bytes += bytes;
  }

  #close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    const { kind, keys, versions, bytes } = open;
    if (kind === 'keys') this.#number({ keys, versions }, bytes);
    else this.#number(kind === 'evicted' ? { evicted: keys } : { expired: keys }, bytes);
  }

  #make(body: EventBody, bytes = keyBytesMore): void {
    this.#close();
    this.#number(body, bytes);
  }

  #number(body: EventBody, bytes: number): void {
    this.#sequence += 1;
    const event = { epoch: this.#epoch, sequence: this.#sequence, ...body } as CacheEvent;
    this.#made.push(event);
    this.#kept.push({ event, bytes });
    this.#keptBytes += bytes;
    while (
      this.#kept.length - this.#keptFrom > cacheEventsKeptMax ||
      this.#keptBytes > cacheEventsKeptBytesMax
    )
      this.#forgetOldest();
  }

  #forgetOldest(): void {
    this.#keptBytes -= this.#kept[this.#keptFrom]?.bytes ?? 0;
    this.#kept[this.#keptFrom] = undefined;
    this.#keptFrom += 1;
    // Taken out many at once: one by one each would move all that are kept.
    if (this.#keptFrom < cacheEventsKeptMax) return;
    this.#kept.splice(0, this.#keptFrom);
    this.#keptFrom = 0;
  }
}
