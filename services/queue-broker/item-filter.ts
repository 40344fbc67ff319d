import { type Refusal, type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { ownerHeader } from '#shared/protocol/owner.ts';
import { type List, priorities } from '#shared/protocol/queue-schemas.ts';
import type { Item } from './core/item.ts';
import type { PartitionTable } from './core/partition-table.ts';

/** Says whether an item is one of those that a list asks for. */
export interface ItemFilter {
  matches(item: Item): boolean;
  /** Bytes of payloads that had to be read so far. */
  readonly bytesRead: number;
}

/** Looks for text in the payloads of items. */
interface TextSearch {
  matches(item: Item): boolean;
  readonly bytesRead: number;
}

/** What a list asks for, prepared; a refusal when it asks for a field that the queue does not declare. */
export function itemFilter(table: PartitionTable, queue: string, request: List): Result<ItemFilter> {
  const { search } = table.settingsOf(queue);
  const fault = undeclaredField(search, request);
  if (fault !== undefined) return { ok: false, error: fault };
  const fields = Object.entries(request.fields ?? {}).map(
    ([path, text]) => [path, text.toLowerCase()] as const,
  );
  const text = request.q === undefined ? undefined : textSearch(table, search, request.q.toLowerCase());
  return accept({
    matches: (item) =>
      item.queue === queue &&
      matchesWords(item, request) &&
      fields.every(([path, wanted]) => fieldHolds(item, path, wanted)) &&
      text?.matches(item) !== false,
    get bytesRead() {
      return text?.bytesRead ?? 0;
    },
  });
}

function undeclaredField(search: readonly string[], { fields }: List): Refusal | undefined {
  const path = Object.keys(fields ?? {}).find((one) => !search.includes(one));
  return path === undefined
    ? undefined
    : refuseField(`fields.${path}`, 'is not a field that this queue declares in search').error;
}

function matchesWords(item: Item, request: List): boolean {
  if (request.state !== undefined && item.state !== request.state) return false;
  if (request.priority !== undefined && priorities[item.band] !== request.priority) return false;
  if (request.group !== undefined && item.group !== request.group) return false;
  if (request.key !== undefined && item.key !== request.key) return false;
  if (request.owner !== undefined && item.headers?.[ownerHeader] !== request.owner) return false;
  return request.worker === undefined || item.attempts.at(-1)?.worker === request.worker;
}

/** In the declared fields, where there are any; else anywhere in the JSON of the payload. */
function textSearch(table: PartitionTable, search: readonly string[], wanted: string): TextSearch {
  if (search.length > 0) {
    return { matches: (item) => search.some((path) => fieldHolds(item, path, wanted)), bytesRead: 0 };
  }
  let bytesRead = 0;
  return {
    matches: (item) => {
      const payload = item.payloadIsJson ? table.payloadOf(item) : undefined;
      if (payload === undefined) return false;
      bytesRead += payload.length;
      return Buffer.from(payload.buffer, payload.byteOffset, payload.length)
        .toString('utf8')
        .toLowerCase()
        .includes(wanted);
    },
    get bytesRead() {
      return bytesRead;
    },
  };
}

/** A field may be called `constructor` or `toString`, which every object has without anybody having given it one. */
function fieldHolds({ fields }: Item, path: string, wanted: string): boolean {
  if (fields === undefined || !Object.hasOwn(fields, path)) return false;
  return fields[path]?.toLowerCase().includes(wanted) === true;
}
