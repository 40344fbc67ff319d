import { isDeepStrictEqual } from 'node:util';
import type { Item } from '#services/queue-broker/core/item.ts';
import type { PartitionTable } from '#services/queue-broker/core/partition-table.ts';
import type { QueueIndex } from '#services/queue-broker/core/queue-index.ts';
import { priorities, states } from '#shared/protocol/queue-schemas.ts';
import { must } from './must.ts';
import type { ModelItem } from './model-item.ts';
import type { QueueModel } from './queue-model.ts';

/** Everything that a table says, in the order of its items. */
export function contents(table: PartitionTable, keys: readonly string[]) {
  const items = itemsOf(table);
  return {
    applied: table.applied,
    schedules: schedulesOf(table),
    items,
    payloads: items.map(({ order }) => table.payload(order)).map((bytes) => new TextDecoder().decode(bytes)),
    queues: [...table.queues.values()]
      .map((queue) => ({
        name: queue.name,
        paused: queue.paused,
        counts: queue.counts,
        byPriority: queue.byPriority,
        bytes: queue.payloadBytes,
        next: nextOf(table, queue, items),
        keys: keys.map((key) => table.duplicateOf(queue.name, key, table.applied.at)),
      }))
      // A queue of which nothing is left is the same as a queue that never was.
      .filter((queue) => queue.paused || states.some((state) => queue.counts[state] > 0))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/** What is handed out next; of groups it is not kept whose turn it is: there it is whether anything is. */
function nextOf(table: PartitionTable, queue: QueueIndex, items: readonly Item[]) {
  const next = table.nextReady(queue, table.applied.at)?.order;
  const hasGroups = items.some((item) => item.queue === queue.name && item.group !== undefined);
  return hasGroups ? next !== undefined : next;
}

/** Names the first difference between two tables that should be equal. */
export function mustBeEqual(
  what: string,
  one: ReturnType<typeof contents>,
  other: ReturnType<typeof contents>,
): void {
  mustEqual(what, one.applied, other.applied);
  mustEqual(`${what}: schedules`, one.schedules, other.schedules);
  const orders = new Set([...one.items, ...other.items].map(({ order }) => order));
  for (const order of orders) {
    const [first, second] = [one, other].map(({ items }) => items.find((item) => item.order === order));
    mustEqual(`${what}: item ${order}`, first, second);
  }
  mustEqual(`${what}: payloads`, one.payloads, other.payloads);
  mustEqual(`${what}: queues`, one.queues, other.queues);
}

/** What differs is written out only when it does: sentences about whole tables cost more than comparing them. */
function mustEqual(what: string, one: unknown, other: unknown): void {
  if (!isDeepStrictEqual(one, other)) throw new Error(`${what}: ${said(one)} and ${said(other)}`);
}

/** Holds a table against the model. @param leases whether the table has seen no later fence than the model */
export function mustFollow(model: QueueModel, table: PartitionTable, leases: boolean): void {
  const items = itemsOf(table);
  const orders = new Set([...items.map(({ order }) => order), ...model.items.keys()]);
  for (const order of orders) {
    const item = table.item(order);
    const expected = model.items.get(order);
    must(item !== undefined, `item ${order} is ${expected?.state} and is not in the table`);
    must(expected !== undefined, `item ${order} is gone and is still in the table`);
    const payload = new TextDecoder().decode(table.payload(order));
    must(payload === expected.payload, `item ${order} holds ${payload} instead of ${expected.payload}`);
    mustEqual(`item ${order} is and should be`, ofItem(item, leases), ofModel(expected, leases));
  }
  for (const queue of table.queues.values()) {
    const here = items.filter((item) => item.queue === queue.name);
    for (const state of states) {
      const stored = here.filter((item) => item.state === state).length;
      must(
        queue.countOf(state) === stored,
        `${queue.name} counts ${queue.countOf(state)} ${state}, it holds ${stored}`,
      );
    }
    for (const [band, priority] of priorities.entries()) {
      const stored = here.filter((item) => item.band === band && !finals.has(item.state)).length;
      const counted = queue.byPriority[priority];
      must(counted === stored, `${queue.name} counts ${counted} ${priority} items, it holds ${stored}`);
    }
    const bytes = here.reduce((sum, { order }) => sum + (table.payload(order)?.length ?? 0), 0);
    must(queue.payloadBytes === bytes, `${queue.name} counts ${queue.payloadBytes} bytes, it holds ${bytes}`);
    must(queue.paused === model.paused.has(queue.name), `${queue.name} does not know whether it is paused`);
  }
}

/** Every schedule with the slot that it awaits. */
const schedulesOf = (table: PartitionTable): [string, number][] =>
  [...table.schedules.queues]
    .flatMap((queue) =>
      [...table.schedules.of(queue)].map(([name, { progress }]): [string, number] => [
        `${queue} ${name}`,
        progress.nextAt ?? 0,
      ]),
    )
    .toSorted(([one], [other]) => (one < other ? -1 : 1));

const finals: ReadonlySet<string> = new Set(['done', 'failed', 'cancelled']);

function itemsOf(table: PartitionTable): readonly Item[] {
  const orders = Array.from({ length: table.applied.nextOrder }, (_, order) => order);
  return orders.map((order) => table.item(order)).filter((item) => item !== undefined);
}

const ofItem = (item: Item, leases: boolean) => ({
  queue: item.queue,
  state: item.state as string,
  band: item.band,
  attempt: item.attempt,
  token: item.token,
  runAt: item.state === 'scheduled' || item.state === 'retry' ? item.runAt : 0,
  readyAt: item.state === 'pending' ? item.readyAt : 0,
  finishedAt: finals.has(item.state) ? item.finishedAt : 0,
  lease: leases ? item.lease?.expiresAt : item.lease?.leaseMs,
});

const ofModel = (item: ModelItem, leases: boolean) => ({
  queue: item.queue,
  state: item.state as string,
  band: item.band,
  attempt: item.attempt,
  token: item.token,
  runAt: item.state === 'scheduled' || item.state === 'retry' ? item.runAt : 0,
  readyAt: item.state === 'pending' ? item.readyAt : 0,
  finishedAt: finals.has(item.state) ? item.finishedAt : 0,
  lease: leases ? item.lease?.expiresAt : item.lease?.leaseMs,
});

const said = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
