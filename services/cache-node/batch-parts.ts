import { type Encoding, json } from '#shared/protocol/encoding.ts';
import { type Encoded, spliceList, spliceObject } from '#shared/protocol/splice.ts';
import { isNamed, skipJsonValue, visitElements, visitMembers } from '#shared/protocol/json-spans.ts';
import {
  isPackedName,
  skipPackedValue,
  visitPackedElements,
  visitPackedMembers,
} from '#shared/protocol/msgpack-spans.ts';

// A batch that concerns several nodes is taken apart, and its reply put together, by the bytes of its items: nobody
// looks inside them, so a value passes as it was written.

/** The items of the one list of a batch's body (`keys` or `items`), each as its bytes. The body must be valid. */
export function itemsOf(
  body: Uint8Array,
  field: 'keys' | 'items',
  encoding: Encoding,
): readonly Uint8Array[] {
  return encoding === json ? jsonItems(body, field) : msgpackItems(body, field);
}

/** The body of a batch, or of its reply, with these items. */
export const withItems = (items: readonly Encoded[], field: 'keys' | 'items', encoding: Encoding): Buffer =>
  Buffer.from(spliceObject([[field, spliceList(textsIn(items, encoding), encoding)]], encoding));

function jsonItems(body: Uint8Array, field: string): readonly Uint8Array[] {
  let start: number | undefined;
  // Of members of the same name the last one counts, as it does for the decoder.
  visitMembers(body, 0, (name, value) => {
    if (isNamed(body, name, field)) start = value.start;
  });
  const items: Uint8Array[] = [];
  if (start !== undefined)
    visitElements(body, start, (at) => {
      const end = skipJsonValue(body, at);
      items.push(body.subarray(at, end));
      return end;
    });
  return items;
}

function msgpackItems(body: Uint8Array, field: string): readonly Uint8Array[] {
  let list: number | undefined;
  visitPackedMembers(body, 0, (name, value) => {
    if (isPackedName(body, name, field)) list = value.start;
  });
  const starts: number[] = [];
  if (list !== undefined) visitPackedElements(body, list, (start) => starts.push(start));
  return starts.map((start) => body.subarray(start, skipPackedValue(body, start)));
}

/** JSON is spliced as text. */
const textsIn = (items: readonly Encoded[], encoding: Encoding): readonly Encoded[] =>
  encoding === json
    ? items.map((item) => (typeof item === 'string' ? item : Buffer.from(item).toString()))
    : items;
