import { encode } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept } from '#shared/protocol/errors.ts';
import { replyBytesMax } from '#shared/protocol/limits.ts';
import type { LogLine, Logs } from '#shared/protocol/queue-more-schemas.ts';
import { queueRequests } from '#shared/protocol/queue-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { validator } from '#shared/protocol/validation.ts';
import { linesKept } from './core/item-logs.ts';
import { findItem } from './core/lease-decisions.ts';
import { decideLog } from './core/log-decisions.ts';
import type { Turn } from './core/turn.ts';
import { itemBytes } from './log-bytes.ts';
import { type QueueRequest, submitPlain } from './queue-request.ts';
import * as works from './queue-works.ts';

const checkLog = validator(queueRequests.log);
const checkLogs = validator(queueRequests.logs);

/** Lines of one page when the caller names no limit, and bytes of a page besides its lines. */
const linesDefault = 100;
const pageEnvelopeBytes = 256;

/** What workers note about an item, and reading it. */
export const logOperations = {
  log,
  logs: (request: QueueRequest, body: unknown) =>
    submitPlain(request, checkLogs(body), (turn, query) => linesPage(turn, request, query), 'nothing'),
};

function log({ partition, queue, caller, message }: QueueRequest, body: unknown): Refusal | undefined {
  const checked = checkLog(body);
  if (!checked.ok) return checked.error;
  // The log is UTF-8: a line that was cut in the middle of an emoji ends with what stands for the half of it.
  const lines = checked.value.lines.map((line) => line.toWellFormed());
  const work = works.plainWork(caller, (turn) => decideLog(turn, queue, { ...checked.value, lines }));
  // Like a new item it can wait until there is room: a worker's notes must not take what its completion needs.
  partition.submit({ ...work, bytes: itemBytes + message.data.length, room: 'new-items' });
  return undefined;
}

function linesPage(
  turn: Turn,
  request: QueueRequest,
  { id, after = 0, limit = linesDefault }: Logs,
): Result<unknown> {
  const found = findItem(turn, request.queue, id);
  if (!found.ok) return found;
  const { reply } = request.encodings;
  const lines: LogLine[] = [];
  let bytes = pageEnvelopeBytes;
  for (const { at, ...line } of turn.table.logLines(found.value, after)) {
    const view = { ...line, at: formatTime(at) };
    bytes += encode(view, reply).length + 1;
    if (lines.length === limit || bytes > replyBytesMax) break;
    lines.push(view);
  }
  return accept({ lines, count: linesKept(found.value.logged) });
}
