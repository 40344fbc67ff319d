import { fnv1a32 } from '#shared/protocol/partition.ts';
import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import type { LogEntry } from './interpret.ts';

/** Errors that have one cause, as far as type and stack tell. */
export interface ErrorGroup {
  readonly id: string;
  readonly type: string;
  /** Of the newest one, as it came. */
  readonly message: string;
  readonly stack: string | undefined;
  readonly level: TelemetryLevel;
  readonly count: number;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  /** The first few that had it. */
  readonly sources: readonly string[];
  readonly traceId: string | undefined;
}

export interface ErrorGroupLimits {
  /** When there are more, those that were not seen for the longest time go. */
  readonly groupsMax: number;
  /** Groups that were not seen for this long go, too. */
  readonly ageMsMax: number;
}

const sourcesMax = 10;
const framesMax = 30;
const shownLengthMax = 4_096;

/** Groups by type and normalized stack. What `apply` changes gathers for `takeChange`. */
export class ErrorGroups {
  readonly #limits: ErrorGroupLimits;
  /** In the order of their last change, the one that was not seen for the longest time first. */
  readonly #groups = new Map<string, ErrorGroup>();
  readonly #changed = new Set<string>();
  #dropped = 0;

  constructor(limits: ErrorGroupLimits) {
    this.#limits = limits;
  }

  get all(): readonly ErrorGroup[] {
    return [...this.#groups.values()];
  }

  /** Groups that made room for others, since this process began. */
  get dropped(): number {
    return this.#dropped;
  }

  restore(groups: readonly ErrorGroup[]): void {
    const byTime = groups.toSorted((one, other) => one.lastSeenMs - other.lastSeenMs);
    for (const group of byTime) this.#groups.set(group.id, group);
  }

  apply(entry: LogEntry): void {
    const type = textOf(entry.attributes['exception.type']) ?? 'Error';
    const stack = textOf(entry.attributes['exception.stacktrace']);
    const id = groupId(type, entry.body, stack);
    const known = this.#groups.get(id);
    const isNewest = known === undefined || entry.atMs >= known.lastSeenMs;
    const newest = isNewest
      ? {
          message: entry.body.slice(0, shownLengthMax),
          stack: stack?.slice(0, shownLengthMax),
          level: entry.level,
          traceId: entry.origin?.traceId ?? known?.traceId,
        }
      : {};
    const sources = known?.sources ?? [];
    const group: ErrorGroup = {
      id,
      type,
      message: '',
      stack: undefined,
      level: entry.level,
      traceId: undefined,
      ...known,
      ...newest,
      count: (known?.count ?? 0) + 1,
      firstSeenMs: Math.min(known?.firstSeenMs ?? entry.atMs, entry.atMs),
      lastSeenMs: Math.max(known?.lastSeenMs ?? entry.atMs, entry.atMs),
      sources:
        sources.includes(entry.source) || sources.length >= sourcesMax ? sources : [...sources, entry.source],
    };
    this.#groups.delete(id);
    this.#groups.set(id, group);
    this.#changed.add(id);
  }

  /** What is to be written and what is to be removed. */
  takeChange(nowMs: number): { readonly put: readonly ErrorGroup[]; readonly removed: readonly string[] } {
    const removed: string[] = [];
    for (const [id, { lastSeenMs }] of this.#groups) {
      const isOld = lastSeenMs < nowMs - this.#limits.ageMsMax;
      if (this.#groups.size <= this.#limits.groupsMax && !isOld) break;
      this.#groups.delete(id);
      this.#dropped += 1;
      removed.push(id);
    }
    const put = [...this.#changed].flatMap((id) => this.#groups.get(id) ?? []);
    this.#changed.clear();
    return { put, removed };
  }
}

/** One group of several collectors' groups with the same cause. */
export function mergedGroup(one: ErrorGroup, other: ErrorGroup): ErrorGroup {
  const newest = one.lastSeenMs >= other.lastSeenMs ? one : other;
  return {
    ...newest,
    count: one.count + other.count,
    firstSeenMs: Math.min(one.firstSeenMs, other.firstSeenMs),
    sources: [...new Set([...one.sources, ...other.sources])].slice(0, sourcesMax),
  };
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** The same for errors of one type whose stacks differ in lines, addresses and ids alone. */
export function groupId(type: string, message: string, stack: string | undefined): string {
  const frames = stack === undefined ? [] : framesOf(stack);
  const cause = frames.length > 0 ? frames.join('\n') : normalized(message);
  const text = `${type}\n${cause}`;
  const hex = (salt: string) => fnv1a32(`${salt}${text}`).toString(16).padStart(8, '0');
  return `${hex('a')}${hex('b')}`;
}

// A frame of JavaScript, Java or C# (`at …`), of Python (`File "…", line …`), of Ruby and PHP (`file:12:in`), of Go
// (a function with its arguments, then a path with a line). The first line says type and message, which varies.
const frameExpression =
  /^\s*at\s+\S|^\s*File "|^\s*(?:from |#\d+ )?\S*[/\\][^\s:]+:\d+|^\s*[\w.*()/-]+\(.*\)\s*$/;

/** Where it happened, without what differs from one time to the next. */
export function framesOf(stack: string): readonly string[] {
  const lines = stack.split(/\r?\n/).slice(0, 200);
  return lines
    .filter((line) => frameExpression.test(line))
    .slice(0, framesMax)
    .map((line) => normalized(withoutPlace(line.trim())));
}

/** Line and column, in the ways that languages write them. */
const withoutPlace = (frame: string): string =>
  frame
    .replaceAll(/:\d+(?::\d+)?(?=\)?(?::in\b.*)?\s*(?:\+0x[0-9a-f]+)?$)/g, '')
    .replaceAll(/, line \d+/g, '')
    .replaceAll(/:line \d+/g, '')
    .replaceAll(/\?[^\s:)]*/g, '');

/** A text without ids: quoted text, addresses, UUIDs, hashes and numbers become signs. */
export const normalized = (text: string): string =>
  text
    .slice(0, shownLengthMax)
    .replaceAll(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, '#')
    .replaceAll(/\b0x[0-9a-f]+\b/gi, '#')
    .replaceAll(/\b(?=[0-9a-z]*\d)[0-9a-z]{6,}\b/gi, '#')
    .replaceAll(/"[^"\n]{1,256}"|'[^'\n]{1,256}'/g, '"#"')
    .replaceAll(/\d+/g, '#');
