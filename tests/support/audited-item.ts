// What an auditor wants to know of an item that stands in the log as bytes, read without any code of the broker.

/** The fields of an `enqueued` fact that the auditor looks at, by the names that facts have. */
export function auditedItem(
  bytes: Uint8Array,
): Readonly<Record<string, unknown>> & { readonly kind: string } {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = view.readUInt8(at);
      at += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const block = (): Buffer => {
    const length = number();
    at += length;
    return view.subarray(at - length, at);
  };
  if (number() !== 1) throw new Error('an item in the log has a version that the auditor does not know');
  const flags = number();
  const isSet = (bit: number): boolean => (flags >> bit) % 2 === 1;
  const order = number();
  const queue = block().toString();
  number(); // band
  number(); // attempts
  if (number() === 1) number(); // first delay of an exponential back-off, then its cap
  number();
  const payload = block();
  const runAt = isSet(0) ? number() : undefined;
  if (isSet(1)) number();
  if (isSet(2)) number();
  const group = isSet(3) ? block().toString() : undefined;
  const key = isSet(4) ? block().toString() : undefined;
  const dedupUntil = isSet(5) ? number() : undefined;
  return { kind: 'enqueued', order, queue, payload, runAt, group, key, dedupUntil };
}
