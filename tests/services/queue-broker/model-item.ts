import type { Enqueued } from '#services/queue-broker/core/facts.ts';
import { must } from './must.ts';

/** An item, as simply as it can be said. */
export interface ModelItem {
  readonly order: number;
  readonly queue: string;
  payload: string;
  /** Every payload that it ever had. */
  readonly payloads: Set<string>;
  readonly key: string | undefined;
  readonly group: string | undefined;
  attemptsMax: number;
  expiresAt: number;
  timeoutMs: number;
  state: 'scheduled' | 'pending' | 'processing' | 'retry' | 'done' | 'failed' | 'cancelled';
  band: number;
  attempt: number;
  runAt: number;
  readyAt: number;
  /** Place in line: numbers that only grow; a released item keeps its own. */
  place: number;
  /** Record and time at which it last became ready. */
  readySince: number;
  token: number;
  lease: { readonly leaseMs: number; readonly expiresAt: number; readonly claim?: string } | undefined;
  startedAt: number;
  finishedAt: number;
  /** How each of its tokens came to its end. */
  readonly endings: Map<number, Ending>;
}

export type Ending =
  'done' | 'failed' | 'retry' | 'pending' | 'scheduled' | 'cancelled' | 'expired' | 'purged';

export const waits = ({ state }: ModelItem): boolean =>
  state === 'scheduled' || state === 'pending' || state === 'retry';

export const isFinal = ({ state }: ModelItem): boolean =>
  state === 'done' || state === 'failed' || state === 'cancelled';

/** True when time should have changed it before `nowMs`. */
export function isOverdue(item: ModelItem, nowMs: number): boolean {
  if (item.state === 'processing')
    return Math.min(item.lease?.expiresAt ?? 0, item.startedAt + item.timeoutMs) < nowMs;
  if (item.state === 'pending') return item.expiresAt < nowMs;
  return !isFinal(item) && Math.min(item.runAt, item.expiresAt) < nowMs;
}

/** An item that is about to be handed out, and all that there are. */
export function mustBeNext(item: ModelItem, items: readonly ModelItem[], at: number): void {
  const { order } = item;
  must(
    item.lease === undefined,
    `item ${order} is handed out to a second worker while the first one holds it`,
  );
  must(item.state === 'pending', `item ${order} is handed out though it is ${item.state}`);
  must(item.expiresAt > at, `item ${order} is handed out though it has expired`);
  must(item.attempt < item.attemptsMax, `item ${order} is handed out more often than it may be`);
  const here = items.filter(({ queue }) => queue === item.queue);
  if (!here.some(({ group }) => group !== undefined)) {
    const first = firstInLine(here, at)?.order;
    return must(first === order, `item ${order} is handed out, item ${first} was first in line`);
  }
  // Which group has its turn is the ring's to say; within one, and before those without any, the line holds.
  const line = here.filter(({ group }) => group === item.group);
  const first = firstInBand(line, item.band)?.order;
  must(first === order, `item ${order} is handed out before ${first} of its group`);
  const free = here.filter(
    ({ group, state, expiresAt }) =>
      state === 'pending' && expiresAt > at && (group === undefined || group === item.group),
  );
  if (here.some(({ readyAt, state }) => state === 'pending' && at - readyAt >= agingMs)) return;
  const urgent = free.find(({ band }) => band < item.band);
  must(urgent === undefined, `item ${order} is handed out before ${urgent?.order}, which is more urgent`);
}

const firstInBand = (items: readonly ModelItem[], band: number): ModelItem | undefined =>
  items
    .filter((item) => item.state === 'pending' && item.band === band)
    .reduce<ModelItem | undefined>(
      (first, item) => (first === undefined || item.place < first.place ? item : first),
      undefined,
    );

const agingMs = 300_000;

/** The item that must be handed out next: strict by band, but a band's head rises one band every five minutes. */
export function firstInLine(items: Iterable<ModelItem>, at: number): ModelItem | undefined {
  const heads: ModelItem[] = [];
  for (const item of items) {
    const head = heads[item.band];
    if (item.state === 'pending' && (head === undefined || item.place < head.place)) heads[item.band] = item;
  }
  const rank = (item: ModelItem) => Math.max(0, item.band - Math.floor((at - item.readyAt) / agingMs));
  return heads
    .filter((item) => item !== undefined)
    .sort((a, b) => rank(a) - rank(b) || a.readyAt - b.readyAt || a.band - b.band)[0];
}

/** An item as it begins. @param record of the log that it stands in */
export function admitted(
  fact: Enqueued,
  { at, place, record }: Record<'at' | 'place' | 'record', number>,
): ModelItem {
  const payload = new TextDecoder().decode(fact.payload);
  const isLater = fact.runAt !== undefined && fact.runAt > at;
  return {
    order: fact.order,
    queue: fact.queue,
    payload,
    payloads: new Set([payload]),
    key: fact.key,
    group: fact.group,
    attemptsMax: fact.attemptsMax,
    expiresAt: fact.expiresAt ?? Number.POSITIVE_INFINITY,
    timeoutMs: fact.timeoutMs ?? Number.POSITIVE_INFINITY,
    state: isLater ? 'scheduled' : 'pending',
    band: fact.band,
    attempt: 0,
    runAt: fact.runAt ?? 0,
    readyAt: at,
    place,
    readySince: record,
    token: 0,
    lease: undefined,
    startedAt: 0,
    finishedAt: 0,
    endings: new Map(),
  };
}
