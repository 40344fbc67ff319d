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
const idHead = '{"id":"';
const tokenHead = '","token":';
const quote = 34;
const comma = 44;
const hyphen = 45;
const digit0 = 48;
const digit9 = 57;
const letterA = 97;
const letterZ = 122;
const closeBrace = 125;

/** Digits of a number that JavaScript surely holds. */
const digitsMax = 15;
/** Characters of both halves of an id, as its schema has them. */
const partitionMax = 4;
const orderMax = 12;

/**
 * Reads `{"items":[{"id":"…","token":…},…],"fetch":…}` straight from the bytes of JSON: what workers send for nearly
 * every item, at a fifth of what a parser and the schemas take. Undefined where anything is written in another way or is
 * wrong: that is read once more by the schemas, which know what to say. Never throws; O(bytes).
 */
export function readPlainSettlements(body: Uint8Array): PlainSettlements | undefined {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
  if (!text.startsWith(head)) return undefined;
  const items: Result<LeaseRequest>[] = [];
  let at = head.length;
  for (;;) {
    const idAt = at + idHead.length;
    const idEnd = text.startsWith(idHead, at) ? behindId(text, idAt) : -1;
    if (idEnd < 0 || !text.startsWith(tokenHead, idEnd)) return undefined;
    const tokenAt = idEnd + tokenHead.length;
    const end = behindNumber(text, tokenAt);
    if (end < 0 || text.charCodeAt(end) !== closeBrace || items.length === batchItemsMax) return undefined;
    items.push(accept({ id: text.slice(idAt, idEnd), token: Number(text.slice(tokenAt, end)) }));
    at = end + 1;
    if (text.charCodeAt(at) !== comma) break;
    at += 1;
  }
  if (!text.startsWith(']', at)) return undefined;
  const rest = text.slice(at + 1);
  if (rest === '}') return { items, fetch: undefined };
  const fetch = plainFetch.exec(rest)?.[1];
  return fetch === undefined ? undefined : { items, fetch: JSON.parse(fetch) };
}

/** Numbers alone: a duration that is a text may hold anything. */
const plainFetch = /^,"fetch":(\{"max":[1-9]\d{0,8}(?:,"lease":[1-9]\d{0,14})?\})\}$/;

/** Behind an id that begins at `start`, where its quote stands; -1 where there is none. */
function behindId(text: string, start: number): number {
  const middle = behindHalf(text, start);
  const end = behindHalf(text, middle + 1);
  if (text.charCodeAt(middle) !== hyphen || text.charCodeAt(end) !== quote) return -1;
  const [partition, order] = [middle - start, end - middle - 1];
  return partition > 0 && partition <= partitionMax && order > 0 && order <= orderMax ? end : -1;
}

function behindHalf(text: string, start: number): number {
  let at = start;
  for (;;) {
    const code = text.charCodeAt(at);
    if (!(code >= digit0 && code <= digit9) && !(code >= letterA && code <= letterZ)) return at;
    at += 1;
  }
}

/** Behind a whole number from 1 on; -1 where there is none. */
function behindNumber(text: string, start: number): number {
  let at = start;
  while (isDigit(text.charCodeAt(at))) at += 1;
  return at === start || at - start > digitsMax || text.charCodeAt(start) === digit0 ? -1 : at;
}

const isDigit = (code: number): boolean => code >= digit0 && code <= digit9;
