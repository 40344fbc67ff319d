/** Bits of a tag that say how its value is written; the others are the field's number. */
const wireBits = 7;

/**
 * Whether bytes have the form of an OTLP request: a protobuf message whose only fields are messages. What is in them
 * is the collector's to judge, which sets apart what it cannot read; this keeps out what is no protobuf at all.
 * @returns never throws; O(fields), which are skipped and not read
 */
export function hasProtobufForm(bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length) {
    const tag = varint(bytes, at);
    if (tag === undefined || (tag.value & wireBits) !== 2 || tag.value < 8) return false;
    const length = varint(bytes, tag.end);
    if (length === undefined || length.end + length.value > bytes.length) return false;
    at = length.end + length.value;
  }
  return true;
}

function varint(
  bytes: Uint8Array,
  start: number,
): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  // Five groups of seven bits are more than any length here.
  for (let index = 0; index < 5; index += 1) {
    const byte = bytes[start + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, end: start + index + 1 };
  }
  return undefined;
}
