import { crc32 } from 'node:zlib';
import type { LogRecord } from './partition-log.ts';

/**
 * What a record is known by: the table keeps the mark of the last record that it applied, so that a log that holds
 * another record in its place is noticed. Against accidents (a restored backup), not against forgery; about a
 * microsecond for a record of some hundred bytes.
 */
export const recordMark = (data: Uint8Array): string => `${data.length}.${crc32(data).toString(36)}`;

export const markOf = (record: LogRecord): string =>
  record.kind === 'foreign' ? 'foreign' : recordMark(record.data);
