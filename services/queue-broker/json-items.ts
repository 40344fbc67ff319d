import { isUtf8 } from 'node:buffer';
import { JsonScanner } from '#shared/protocol/json-scanner.ts';

/** An item of `enqueue-many` as it stands in the request. */
export interface JsonItem {
  /** Bytes of the payload as they came. Copied: the request's are a part of what was read from the socket. */
  readonly payload: Uint8Array;
  /** All other members; undefined when there are none. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The items of an `enqueue-many` in JSON, without reading their payloads. Only for requests without a fault in their
 * form: every other one, and what is merely unusual, is undefined here and read by the schemas, which say what is wrong.
 * Never throws; O(bytes).
 */
export function readJsonItems(body: Uint8Array): readonly JsonItem[] | undefined {
  if (!isUtf8(body)) return undefined;
  const scanner = new JsonScanner(body);
  if (!scanner.openObject() || scanner.name() !== 'items' || !scanner.openList()) return undefined;
  const items: JsonItem[] = [];
  do {
    const item = readItem(scanner);
    if (item === undefined) return undefined;
    items.push(item);
  } while (scanner.comma());
  return scanner.closeList() && scanner.closeObject() && scanner.isAtEnd ? items : undefined;
}

const payloadName = Buffer.from('"payload"');

function readItem(scanner: JsonScanner): JsonItem | undefined {
  if (!scanner.openObject()) return undefined;
  let payload: Uint8Array | undefined;
  let options: Record<string, unknown> | undefined;
  do {
    const isPayload = scanner.isNamed(payloadName);
    const name = isPayload ? 'payload' : scanner.name();
    const start = name === undefined ? -1 : scanner.value();
    if (name === undefined || start < 0) return undefined;
    if (isPayload) {
      if (payload !== undefined) return undefined;
      payload = copied(scanner.bytes, start, scanner.at);
      continue;
    }
    options ??= Object.create(null) as Record<string, unknown>;
    // Of members of the same name the last one counts: not for us to decide here.
    if (name === 'payload' || name in options) return undefined;
    options[name] = JSON.parse(Buffer.from(scanner.bytes.subarray(start, scanner.at)).toString());
  } while (scanner.comma());
  return payload !== undefined && scanner.closeObject() ? { payload, options } : undefined;
}

/** For the few bytes that most payloads have a loop is faster than a view and a call. */
function copied(bytes: Uint8Array, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start);
  if (copy.length > 128) copy.set(bytes.subarray(start, end));
  else for (let at = start; at < end; at += 1) copy[at - start] = bytes[at] ?? 0;
  return copy;
}
