import { type Encoding, encode } from '#shared/protocol/encoding.ts';
import type { Refusal, Result } from '#shared/protocol/errors.ts';
import { accept } from '#shared/protocol/errors.ts';
import { queuesPageMax, replyBytesMax } from '#shared/protocol/limits.ts';
import type { QueuePage } from '#shared/protocol/queue-schemas.ts';
import type { Turn } from './core/turn.ts';
import type { Partition } from './partition.ts';
import type { QueueStatistics } from './queue-statistics.ts';
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
  page: QueuePage,
  caller: works.Caller,
  options: OverallOptions,
): Promise<void> {
  const { partitions } = options;
  const after = page.cursor ?? '';
  const known = await askEach(partitions, caller, (turn) =>
    [...turn.table.queues.keys()].filter((name) => name > after),
  );
  if (!known.ok) return caller.refuse(known.error);
  const names = known.value.flat().sort(byName);
  const chosen = names.slice(0, page.limit ?? queuesPageMax);
  const views = what === 'list' ? accept(chosen) : await figuresOf(chosen, known.value, caller, options);
  if (!views.ok) return caller.refuse(views.error);
  const { queues, next } = fitting(views.value, options.encoding);
  const last = chosen[next - 1];
  caller.value({ queues, ...(next < names.length && last !== undefined ? { cursor: last } : {}) });
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
function fitting(views: readonly unknown[], encoding: Encoding) {
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
