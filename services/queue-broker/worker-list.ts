import { replyBytesMax } from '#shared/protocol/limits.ts';
import type { WorkerView } from '#shared/protocol/queue-more-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { type Item, itemId } from './core/item.ts';
import type { Turn } from './core/turn.ts';
import type { WaitingLine } from './waiting-line.ts';
import type { WorkerRegistry } from './worker-registry.ts';

/** Bytes that a worker and one of its items take in a reply besides the worker's name, generously. */
const workerBytes = 160;
const itemBytes = 160;

interface Working {
  since: number;
  lastSeenAt: number;
  waiting: number;
  readonly items: Item[];
}

/**
 * Who works on what of a queue, who waits for work, and who did so within the last minute. As many workers and items
 * as fit into one reply, those who were seen last first; `more` says that there are others.
 */
export function listWorkers(
  turn: Turn,
  queue: string,
  { registry, line }: { readonly registry: WorkerRegistry; readonly line: WaitingLine },
): { readonly workers: readonly WorkerView[]; readonly more?: true } {
  const working = new Map<string, Working>();
  for (const [worker, { since, lastAt }] of registry.of(queue, turn.at))
    working.set(worker, { since, lastSeenAt: lastAt, waiting: 0, items: [] });
  for (const worker of line.workersAt(queue)) at(working, worker, turn.at).waiting += 1;
  for (const order of turn.table.queue(queue)?.ordersOf('processing', 0) ?? []) {
    const item = turn.table.leased.get(order);
    if (item?.lease === undefined) continue;
    // A lease begins with the claim, and anew whenever it is extended: both are signs of its worker.
    const signAt = item.lease.expiresAt - item.lease.leaseMs;
    const holder = at(working, item.lease.worker ?? '', signAt);
    // What it holds may be older than what this broker has seen of it.
    holder.since = Math.min(holder.since, item.startedAt ?? signAt);
    holder.lastSeenAt = Math.max(holder.lastSeenAt, signAt);
    holder.items.push(item);
  }
  return fitting(turn.partition, working);
}

function at(working: Map<string, Working>, worker: string, signAt: number): Working {
  let known = working.get(worker);
  if (known === undefined) {
    known = { since: signAt, lastSeenAt: signAt, waiting: 0, items: [] };
    working.set(worker, known);
  }
  return known;
}

function fitting(partition: number, working: ReadonlyMap<string, Working>) {
  const workers: WorkerView[] = [];
  let left = replyBytesMax - workerBytes;
  const newest = [...working].sort(([, one], [, other]) => other.lastSeenAt - one.lastSeenAt);
  for (const [worker, { since, lastSeenAt, waiting, items }] of newest) {
    left -= workerBytes + JSON.stringify(worker).length * 3;
    if (left < 0) return { workers, more: true as const };
    const shown = items.slice(0, Math.floor(left / itemBytes));
    left -= shown.length * itemBytes;
    workers.push({
      worker,
      since: formatTime(since),
      lastSeenAt: formatTime(lastSeenAt),
      waiting,
      items: shown.map((item) => itemView(partition, item)),
    });
    if (shown.length < items.length) return { workers, more: true as const };
  }
  return { workers };
}

const itemView = (partition: number, item: Item) => ({
  id: itemId(partition, item.order),
  attempt: item.attempt,
  startedAt: formatTime(item.startedAt ?? 0),
  leaseExpiresAt: formatTime(item.lease?.expiresAt ?? 0),
});
