import { type Encoding, encode } from '#shared/protocol/encoding.ts';
import type { Refusal, Result } from '#shared/protocol/errors.ts';
import { accept } from '#shared/protocol/errors.ts';
import { queuesPageMax, replyBytesMax } from '#shared/protocol/limits.ts';
import {
  type BriefQueueStats,
  type QueueStatsPage,
  type QueueTotals,
  states,
} from '#shared/protocol/queue-schemas.ts';
import type { Turn } from './core/turn.ts';
import type { Partition } from './partition.ts';
import { type QueueStatistics, totalsOf } from './queue-statistics.ts';
import * as works from './queue-works.ts';

/** Bytes of a page besides its queues. */
const pageEnvelopeBytes = 256;

export interface OverallOptions {
  readonly partitions: readonly Partition[];
  readonly statistics: QueueStatistics;
  readonly encoding: Encoding;
}

/**
 * Answers what is asked of all queues: their names or their figures, in the order of the names, as many as fit into
 * one reply. Every partition is asked within a turn of its own.
 */
export async function answerOverall(
  what: 'stats' | 'list',
  page: QueueStatsPage,
  caller: works.Caller,
  options: OverallOptions,
): Promise<void> {
  const { partitions } = options;
  if (page.brief === true) return answerBriefly(page, caller, options);
  const after = page.cursor ?? '';
  const known = await askEach(partitions, caller, (turn) =>
    [...turn.table.queues.keys()].filter((name) => name > after),
  );
  if (!known.ok) return caller.refuse(known.error);
  const names = known.value.flat().sort(byName);
  const chosen = names.slice(0, page.limit ?? queuesPageMax);
  const views: Result<readonly (object | string)[]> =
    what === 'list' ? accept(chosen) : await figuresOf(chosen, known.value, caller, options);
  if (!views.ok) return caller.refuse(views.error);
  const { queues, next } = fitting(views.value, options.encoding);
  const last = chosen[next - 1];
  caller.value({ queues, ...(next < names.length && last !== undefined ? { cursor: last } : {}) });
}

/** What can be added up of each queue of the page, and of all others together: no queue is left out of it. */
async function answerBriefly(
  { cursor = '', limit = queuesPageMax }: QueueStatsPage,
  caller: works.Caller,
  { partitions, encoding }: OverallOptions,
): Promise<void> {
  const asked = await askEach(partitions, caller, ({ table, at }) =>
    [...table.queues.values()].map((index) => ({ queue: index.name, ...totalsOf(table, index, at) })),
  );
  if (!asked.ok) return caller.refuse(asked.error);
  const all = asked.value.flat().sort((one, other) => byName(one.queue, other.queue));
  const from = all.filter(({ queue }) => queue > cursor).slice(0, limit);
  const { queues } = fitting(from, encoding);
  const shown = new Set<object>(queues);
  const others = all.filter((one) => !shown.has(one));
  const logs = partitions.map(({ gauge }, partition) => ({
    partition,
    bytes: gauge.bytes,
    bytesMax: Math.max(gauge.bytesMax, 0),
  }));
  caller.value({
    queues,
    others: { queues: others.length, ...sum(others) },
    logs,
  } satisfies BriefQueueStats);
}

function sum(queues: readonly QueueTotals[]): QueueTotals {
  const of = (read: (one: QueueTotals) => number): number =>
    queues.reduce((total, one) => total + read(one), 0);
  return {
    counts: Object.fromEntries(
      states.map((state) => [state, of(({ counts }) => counts[state])]),
    ) as QueueTotals['counts'],
    bytes: of(({ bytes }) => bytes),
    oldestPendingMs: queues.reduce((longest, one) => Math.max(longest, one.oldestPendingMs), 0),
    attempts: of(({ attempts }) => attempts),
    expiredLeases: of(({ expiredLeases }) => expiredLeases),
    finished: {
      done: of(({ finished }) => finished.done),
      failed: of(({ finished }) => finished.failed),
      cancelled: of(({ finished }) => finished.cancelled),
    },
  };
}

/** The figures of the chosen queues, each asked of the partition that knows it. */
async function figuresOf(
  chosen: readonly string[],
  known: readonly (readonly string[])[],
  caller: works.Caller,
  { partitions, statistics }: OverallOptions,
): Promise<Result<readonly object[]>> {
  const wanted = new Set(chosen);
  const figures = new Map<string, object>();
  const asked = await askEach(partitions, caller, (turn, number) => {
    for (const name of known[number] ?? [])
      if (wanted.has(name)) figures.set(name, statistics.of(turn.table, name, turn.at));
  });
  if (!asked.ok) return asked;
  return accept(chosen.map((name) => figures.get(name)).filter((one) => one !== undefined));
}

/** As many as fit. @returns them, and how many there are */
function fitting<View extends object | string>(views: readonly View[], encoding: Encoding) {
  let bytes = pageEnvelopeBytes;
  let next = 0;
  for (const view of views) {
    bytes += encode(view, encoding).length + 1;
    if (next > 0 && bytes > replyBytesMax) break;
    next += 1;
  }
  return { queues: views.slice(0, next), next };
}

/** Asks every partition; the first refusal stands for all. */
async function askEach<T>(
  partitions: readonly Partition[],
  caller: works.Caller,
  ask: (turn: Turn, number: number) => T,
): Promise<Result<readonly T[]>> {
  const answers = await Promise.all(
    partitions.map(
      (partition, number) =>
        new Promise<Result<T>>((resolve) => {
          const each: works.Caller = {
            ...caller,
            value: (value) => resolve(accept(value as T)),
            refuse: (error: Refusal) => resolve({ ok: false, error }),
          };
          partition.submit(works.plainWork(each, (turn) => accept(ask(turn, number)), 'nothing'));
        }),
    ),
  );
  const values: T[] = [];
  for (const answer of answers) {
    if (!answer.ok) return answer;
    values.push(answer.value);
  }
  return accept(values);
}

// By code units, as the cursor is compared: whatever the machine's language.
const byName = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
