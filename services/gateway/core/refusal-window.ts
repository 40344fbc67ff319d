import type { AuditNote } from '#shared/protocol/audit-schemas.ts';

/** The same refusal is written at once, and then again with a count, at most this often. Milliseconds. */
const windowMs = 10_000;
/** Kinds of refusals that are counted apart at once. A stranger can make any number of them up. */
const kindsMax = 1_000;

interface Counted {
  readonly note: AuditNote;
  readonly sinceMs: number;
  count: number;
}

/**
 * Keeps a flood of refusals from becoming a flood of entries: the first of a kind is an entry of its own, those that
 * follow within ten seconds are one entry with their count.
 */
export class RefusalWindow {
  readonly #kinds = new Map<string, Counted>();

  /** A refusal. @returns what is to be written now */
  note(note: AuditNote, nowMs: number): readonly AuditNote[] {
    const key = this.#kinds.size < kindsMax || this.#kinds.has(kindOf(note)) ? kindOf(note) : others;
    const known = this.#kinds.get(key);
    if (known !== undefined) {
      known.count += 1;
      return [];
    }
    this.#kinds.set(key, { note: key === others ? withoutDetails(note) : note, sinceMs: nowMs, count: 0 });
    return [note];
  }

  /** What has come together in windows that are over; all of it at the end. */
  due(nowMs: number, all = false): readonly AuditNote[] {
    const written: AuditNote[] = [];
    for (const [key, { note, sinceMs, count }] of this.#kinds) {
      if (!all && nowMs - sinceMs < windowMs) continue;
      this.#kinds.delete(key);
      if (count > 0) written.push({ ...note, count });
    }
    return written;
  }
}

const others = 'others';

const kindOf = ({ id, from, operation, on, result, why }: AuditNote): string =>
  [id, hostOf(from), operation, on, result, why].join('|');

/** Without the port: each attempt comes from another one. */
const hostOf = (from: string): string => from.replace(/:[0-9]+$/, '');

const withoutDetails = (note: AuditNote): AuditNote => ({
  who: 'several',
  id: 'several',
  via: note.via,
  from: 'several',
  operation: 'several',
  on: 'several',
  result: note.result,
});
