import type { AuditNote } from '#shared/protocol/audit-schemas.ts';
import { nobody } from './principal.ts';

/** The same refusal is written at once, and then again with a count, at most this often. Milliseconds. */
const windowMs = 10_000;
/** Kinds of refusals that are counted apart at once. A stranger can make any number of them up. */
const kindsMax = 1_000;
/**
 * The same of one principal, or of one address where nobody is known: who makes up queues to be refused must not take
 * the names out of the entries of everybody else.
 */
const kindsEachMax = 100;

interface Counted {
  readonly note: AuditNote;
  readonly source: string;
  readonly sinceMs: number;
  count: number;
}

/**
 * Keeps a flood of refusals from becoming a flood of entries: the first of a kind is an entry of its own, those that
 * follow within ten seconds are one entry with their count.
 */
export class RefusalWindow {
  readonly #kinds = new Map<string, Counted>();
  /** How many of the kinds are whose. */
  readonly #sources = new Map<string, number>();

  /** A refusal. @returns what is to be written now */
  note(note: AuditNote, nowMs: number): readonly AuditNote[] {
    const source = sourceOf(note);
    const { key, kept } = this.#kind(note, source);
    const known = this.#kinds.get(key);
    if (known !== undefined) {
      known.count += 1;
      return [];
    }
    this.#kinds.set(key, { note: kept, source, sinceMs: nowMs, count: 0 });
    this.#sources.set(source, (this.#sources.get(source) ?? 0) + 1);
    return [note];
  }

  /** What it is counted as, and what is kept of it. */
  #kind(note: AuditNote, source: string): { readonly key: string; readonly kept: AuditNote } {
    const key = kindOf(note);
    if (this.#kinds.has(key)) return { key, kept: note };
    const ofSource = `${others}|${source}`;
    const isMuch = (this.#sources.get(source) ?? 0) >= kindsEachMax;
    const hasRoom = this.#kinds.size < kindsMax;
    if (isMuch && (hasRoom || this.#kinds.has(ofSource)))
      return { key: ofSource, kept: withoutDetails(note, note) };
    return hasRoom ? { key, kept: note } : { key: others, kept: withoutDetails(note, several) };
  }

  /** What has come together in windows that are over; all of it at the end. */
  due(nowMs: number, all = false): readonly AuditNote[] {
    const written: AuditNote[] = [];
    for (const [key, { note, source, sinceMs, count }] of this.#kinds) {
      if (!all && nowMs - sinceMs < windowMs) continue;
      this.#kinds.delete(key);
      const left = (this.#sources.get(source) ?? 0) - 1;
      if (left > 0) this.#sources.set(source, left);
      else this.#sources.delete(source);
      if (count > 0) written.push({ ...note, count });
    }
    return written;
  }
}

const others = 'others';

const kindOf = ({ id, from, operation, on, result, why }: AuditNote): string =>
  [id, hostOf(from), operation, on, result, why].join('|');

const sourceOf = ({ id, from }: AuditNote): string => (id === nobody.id ? hostOf(from) : id);

/** Without the port: each attempt comes from another one. */
const hostOf = (from: string): string => from.replace(/:[0-9]+$/, '');

type Source = Pick<AuditNote, 'who' | 'id' | 'from'>;

const several: Source = { who: 'several', id: 'several', from: 'several' };

const withoutDetails = (note: AuditNote, { who, id, from }: Source): AuditNote => ({
  who,
  id,
  via: note.via,
  from,
  operation: 'several',
  on: 'several',
  result: note.result,
});
