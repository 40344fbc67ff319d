import { type Result, accept } from '#shared/protocol/errors.ts';
import { batchItemsMax } from '#shared/protocol/limits.ts';
import type { LeaseRequest } from './core/lease-decisions.ts';

/** A batch that says of items that they are done, or handed back, and nothing more; and what it fetches. */
export interface PlainSettlements {
  readonly items: readonly Result<LeaseRequest>[];
  /** Undefined where nothing is fetched. */
  readonly fetch: { readonly max: number; readonly lease?: number } | undefined;
}

const head = '{"items":[';

/** An item, and the comma behind it if there is one. Ids are as their schema has them, numbers are surely safe. */
const itemAt = /\{"id":"([0-9a-z]{1,4}-[0-9a-z]{1,12})","token":([1-9]\d{0,14})\}(,?)/y;

/** What stands behind the items. Of what is fetched numbers alone: a duration that is a text may hold anything. */
const endAt = /\](?:,"fetch":(\{"max":[1-9]\d{0,8}(?:,"lease":[1-9]\d{0,14})?\}))?\}$/y;

/**
 * Reads `{"items":[{"id":"…","token":…},…],"fetch":…}` straight from the bytes of JSON: what workers send for nearly
 * every item, in half the time that a parser and the schemas take. Undefined where anything is written in another way
 * or is wrong: that is read once more by the schemas, which know what to say. Never throws; O(bytes).
 */
export function readPlainSettlements(body: Uint8Array): PlainSettlements | undefined {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
  if (!text.startsWith(head)) return undefined;
  const items: Result<LeaseRequest>[] = [];
  itemAt.lastIndex = head.length;
  for (let more: string | undefined = ','; more === ',';) {
    const found = itemAt.exec(text);
    if (found === null || items.length === batchItemsMax) return undefined;
    const [, id = '', token] = found;
    items.push(accept({ id, token: Number(token) }));
    more = found[3];
  }
  endAt.lastIndex = itemAt.lastIndex;
  const end = endAt.exec(text);
  if (end === null) return undefined;
  const [, fetch] = end;
  return { items, fetch: fetch === undefined ? undefined : JSON.parse(fetch) };
}
