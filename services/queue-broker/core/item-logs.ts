import { logLinesKeptMax } from '#shared/protocol/limits.ts';
import type { Item, Logged } from './item.ts';
import type { Overlay } from './overlay.ts';
import { logChunkKey } from './queue-records.ts';

// The lines that workers write down for an item. They stand in records of their own, fifty to a record, so that one
// more line costs the same however many there are, and an item that is worked on does not carry them along.

/** A line, with its time and the attempt that wrote it. */
export type LoggedLine = readonly [at: number, attempt: number, line: string];

interface LogChunk {
  readonly lines: readonly LoggedLine[];
}

export interface NumberedLine {
  readonly number: number;
  readonly at: number;
  readonly attempt: number;
  readonly line: string;
}

const linesPerChunk = 50;

/** Lines that are kept of those that were written. */
export const linesKept = (logged: Logged | undefined): number =>
  Math.min(logged?.count ?? 0, logLinesKeptMax);

/** Adds lines to an item's; the oldest go beyond the thousand that are kept, some later than others: by the record. */
export function appendLines(overlay: Overlay, item: Item, lines: readonly string[], at: number): Logged {
  const before = item.logged ?? nothingLogged;
  const added = lines.map((line): LoggedLine => [at, item.attempt, line]);
  let count = before.count;
  while (count - before.count < added.length) {
    const chunk = Math.floor(count / linesPerChunk);
    const free = (chunk + 1) * linesPerChunk - count;
    const from = count - before.count;
    const more = added.slice(from, from + free);
    const known = count % linesPerChunk === 0 ? [] : chunkOf(overlay, item.order, chunk);
    overlay.putRecord(logChunkKey(item.order, chunk), { lines: [...known, ...more] });
    count += more.length;
  }
  let bytes = before.bytes + bytesOf(added);
  for (let chunk = firstChunk(before.count); chunk < firstChunk(count); chunk += 1) {
    bytes -= bytesOf(chunkOf(overlay, item.order, chunk));
    overlay.putRecord(logChunkKey(item.order, chunk), null);
  }
  return { count, bytes };
}

/** Removes all lines of an item. */
export function removeLines(overlay: Overlay, order: number, logged: Logged): void {
  for (let chunk = firstChunk(logged.count); chunk * linesPerChunk < logged.count; chunk += 1)
    overlay.putRecord(logChunkKey(order, chunk), null);
}

/** The lines whose numbers are above `after`, ascending. Numbers begin at 1 and go on when the oldest lines go. */
export function* readLines(overlay: Overlay, item: Item, after: number): Iterable<NumberedLine> {
  const count = item.logged?.count ?? 0;
  const first = Math.max(after, count - logLinesKeptMax);
  for (let chunk = Math.floor(first / linesPerChunk); chunk * linesPerChunk < count; chunk += 1) {
    for (const [index, [at, attempt, line]] of chunkOf(overlay, item.order, chunk).entries()) {
      const number = chunk * linesPerChunk + index + 1;
      if (number > first) yield { number, at, attempt, line };
    }
  }
}

const nothingLogged: Logged = { count: 0, bytes: 0 };

/** The first record of those that hold kept lines. */
const firstChunk = (count: number): number =>
  Math.floor(Math.max(0, count - logLinesKeptMax) / linesPerChunk);

const chunkOf = (overlay: Overlay, order: number, chunk: number): readonly LoggedLine[] =>
  (overlay.record(logChunkKey(order, chunk)) as LogChunk | undefined)?.lines ?? [];

const bytesOf = (lines: readonly LoggedLine[]): number =>
  lines.reduce((sum, [, , line]) => sum + utf8Bytes(line), 0);

/** Bytes of a text in UTF-8. */
function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    // A half of a surrogate pair is two of its four bytes.
    if (code >= 0x80) bytes += code >= 0x800 && (code < 0xd800 || code > 0xdfff) ? 2 : 1;
  }
  return bytes;
}
