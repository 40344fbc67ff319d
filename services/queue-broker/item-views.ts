import { type Encoding, decode, encode, msgpack } from '#shared/protocol/encoding.ts';
import { splitOwner } from '#shared/protocol/owner.ts';
import { priorities } from '#shared/protocol/queue-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { type Item, type Parent, itemId } from './core/item.ts';
import type { PartitionTable } from './core/partition-table.ts';
import { jsonValue, shownValue } from './kept-value.ts';

/** An item with its payload, ready to be shown. */
export interface ItemWithPayload {
  readonly item: Item;
  readonly payload: Uint8Array | undefined;
}

/** The body `{"items":[…]}` of a dequeue. */
export function encodeLeased(
  partition: number,
  items: readonly ItemWithPayload[],
  encoding: Encoding,
): Uint8Array | string {
  if (encoding === msgpack)
    return encode({ items: items.map((one) => leasedView(partition, one, encoding)) }, encoding);
  return `{"items":${leasedJson(partition, items)}}`;
}

/** A JSON array of leased items. Payloads that are JSON text already go in as they are. */
export function leasedJson(partition: number, items: readonly ItemWithPayload[]): string {
  let list = '';
  let like: Item | undefined;
  let common = '';
  for (const { item, payload } of items) {
    if (like === undefined || !isLeasedAlike(item, like)) common = commonJson(item);
    like = item;
    list += `${list === '' ? '{"id":"' : ',{"id":"'}${itemId(partition, item.order)}${common}${ownJson(item, payload)}}`;
  }
  return `[${list}]`;
}

/** Items that are handed out together mostly differ in id, payload and the time at which they came in. */
const isLeasedAlike = (one: Item, other: Item): boolean =>
  one.band === other.band &&
  one.attempt === other.attempt &&
  one.attemptsMax === other.attemptsMax &&
  one.token === other.token &&
  one.lease?.expiresAt === other.lease?.expiresAt &&
  one.queue === other.queue;

// As `leasedView`, put together by hand: this is written for every item that is ever worked on. Of the texts only
// those of callers can hold what JSON must escape; names, ids, states and times cannot.

const commonJson = (item: Item): string =>
  `","queue":"${item.queue}","priority":"${priorities[item.band] ?? 'normal'}","state":"processing",` +
  `"attempt":${item.attempt},"maxAttempts":${item.attemptsMax},"token":${item.token},` +
  `"leaseExpiresAt":"${formatTime(item.lease?.expiresAt ?? 0)}","enqueuedAt":"`;

function ownJson(item: Item, payload: Uint8Array | undefined): string {
  const { contentType, headers, timeoutMs } = item;
  let more = contentType === undefined ? '' : `"contentType":${JSON.stringify(contentType)},`;
  if (timeoutMs !== undefined) more += `"timeoutMs":${timeoutMs},`;
  if (headers !== undefined) more += `"headers":${JSON.stringify(headers)},`;
  return `${formatTime(item.enqueuedAt)}",${more}${payloadJson(item, payload)}`;
}

function payloadJson(item: Item, payload: Uint8Array | undefined): string {
  const bytes = payload ?? nothing;
  return item.payloadIsJson
    ? `"payload":${asBuffer(withoutMark(bytes)).toString('utf8')}`
    : `"payloadBase64":"${asBuffer(bytes).toString('base64')}"`;
}

export const leasedView = (partition: number, { item, payload }: ItemWithPayload, encoding: Encoding) => ({
  ...leasedHead(partition, item),
  ...payloadView(item, payload, encoding),
});

const leasedHead = (partition: number, item: Item) => ({
  id: itemId(partition, item.order),
  queue: item.queue,
  priority: priorities[item.band] ?? 'normal',
  state: 'processing',
  attempt: item.attempt,
  maxAttempts: item.attemptsMax,
  token: item.token,
  leaseExpiresAt: formatTime(item.lease?.expiresAt ?? 0),
  enqueuedAt: formatTime(item.enqueuedAt),
  ...(item.timeoutMs === undefined ? {} : { timeoutMs: item.timeoutMs }),
  ...(item.contentType === undefined ? {} : { contentType: item.contentType }),
  ...(item.headers === undefined ? {} : { headers: item.headers }),
});

/** `payload` where the encoding can carry it, `payloadBase64` where it cannot. */
export function payloadView(
  item: Pick<Item, 'payloadIsJson' | 'contentType'>,
  payload: Uint8Array | undefined,
  encoding: Encoding,
) {
  const bytes = payload ?? new Uint8Array();
  if (item.payloadIsJson) return { payload: jsonValue(withoutMark(bytes), encoding) };
  if (encoding === msgpack)
    return { payload: item.contentType === msgpack ? valueOf(bytes, msgpack) : bytes };
  return { payloadBase64: Buffer.from(bytes).toString('base64') };
}

/** Brokers once took JSON that begins with a byte order mark, which may not stand in the middle of a reply. */
const withoutMark = (bytes: Uint8Array): Uint8Array =>
  bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;

function valueOf(bytes: Uint8Array, encoding: Encoding): unknown {
  const decoded = decode(bytes, encoding);
  return decoded.ok ? decoded.value : bytes;
}

/** The whole item, as `get` and `list` give it. */
export function itemView(partition: number, { item, payload }: ItemWithPayload, encoding: Encoding) {
  const { owner, headers } = splitOwner(item.headers);
  return {
    id: itemId(partition, item.order),
    queue: item.queue,
    state: item.state,
    priority: priorities[item.band] ?? 'normal',
    ...given('group', item.group),
    ...given('key', item.key),
    ...given('owner', owner),
    attempt: item.attempt,
    maxAttempts: item.attemptsMax,
    attempts: item.attempts.map(({ startedAt, endedAt, ...attempt }) => ({
      ...attempt,
      startedAt: formatTime(startedAt),
      ...given('endedAt', time(endedAt)),
    })),
    enqueuedAt: formatTime(item.enqueuedAt),
    ...given('runAt', time(item.runAt)),
    ...given('startedAt', time(item.startedAt)),
    ...given('finishedAt', time(item.finishedAt)),
    ...given('progress', stored(item.progress, encoding)),
    ...given('result', stored(item.result, encoding)),
    ...payloadView(item, payload, encoding),
    ...given('contentType', item.contentType),
    ...given('headers', headers),
    ...given('parent', parentView(item.parent)),
    transitions: item.transitions.map(({ at, ...change }) => ({ at: formatTime(at), ...change })),
  };
}

const nothing = new Uint8Array();

/** The same bytes, not a copy. */
const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const parentView = (parent: Parent | undefined) =>
  parent === undefined ? undefined : { queue: parent.queue, id: parent.id };

export const withPayload = (table: PartitionTable, item: Item): ItemWithPayload => ({
  item,
  payload: table.payloadOf(item),
});

const time = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : formatTime(ms));

const stored = (bytes: Uint8Array | undefined, encoding: Encoding): unknown =>
  bytes === undefined ? undefined : shownValue(bytes, encoding);

const given = <K extends string, V>(name: K, value: V | undefined): { readonly [N in K]?: V } =>
  value === undefined ? {} : ({ [name]: value } as { readonly [N in K]?: V });
