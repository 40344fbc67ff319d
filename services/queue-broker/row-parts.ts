import type { Backoff } from './core/retry-policy.ts';
import type { RowReader, RowWriter } from './row-bytes.ts';

// What rows of items and plain items of the log both hold.

export function writeBackoff(writer: RowWriter, backoff: Backoff): void {
  if (backoff.kind === 'fixed') {
    writer.uint(0);
    writer.uint(backoff.delayMs);
    return;
  }
  writer.uint(1);
  writer.uint(backoff.firstMs);
  writer.uint(backoff.capMs);
}

export function readBackoff(row: RowReader): Backoff {
  if (row.uint() === 0) return { kind: 'fixed', delayMs: row.uint() };
  return { kind: 'exponential', firstMs: row.uint(), capMs: row.uint() };
}

export function writeTexts(writer: RowWriter, texts: Readonly<Record<string, string>>): void {
  const entries = Object.entries(texts);
  writer.uint(entries.length);
  for (const [name, text] of entries) {
    writer.text(name);
    writer.text(text);
  }
}

export const readTexts = (row: RowReader): Readonly<Record<string, string>> =>
  Object.fromEntries(readList(row, () => [row.text(), row.text()] as const));

/** A count, and as many of what `read` reads. */
export function readList<T>(row: RowReader, read: () => T): T[] {
  const length = row.uint();
  const list: T[] = [];
  for (let index = 0; index < length; index += 1) list.push(read());
  return list;
}
