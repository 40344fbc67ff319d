// What an auditor wants to know of items that stand in the log as bytes, read without any code of the broker.

type AuditedFact = Readonly<Record<string, unknown>> & { readonly kind: string };

/** The fields of `enqueued` facts that the auditor looks at, by the names that facts have: of one item, or of many. */
export function auditedItems(bytes: Uint8Array): readonly AuditedFact[] {
  const read = new Bytes(bytes);
  const version = read.number();
  if (version === 1) return [itemAlone(read)];
  if (version === 2) return itemsTogether(read);
  throw new Error('an item in the log has a version that the auditor does not know');
}

function itemAlone(read: Bytes): AuditedFact {
  const flags = read.number();
  const isSet = (bit: number): boolean => (flags >> bit) % 2 === 1;
  const order = read.number();
  const queue = read.block().toString();
  read.number(); // band
  read.number(); // attempts
  read.backoff();
  const payload = read.block();
  const runAt = isSet(0) ? read.number() : undefined;
  if (isSet(1)) read.number();
  if (isSet(2)) read.number();
  const group = isSet(3) ? read.block().toString() : undefined;
  const key = isSet(4) ? read.block().toString() : undefined;
  const dedupUntil = isSet(5) ? read.number() : undefined;
  return { kind: 'enqueued', order, queue, payload, runAt, group, key, dedupUntil };
}

function itemsTogether(read: Bytes): readonly AuditedFact[] {
  read.number(); // JSON or not
  const first = read.number();
  const queue = read.block().toString();
  read.number(); // attempts
  read.backoff();
  return Array.from({ length: read.number() }, (_, index) => {
    read.number(); // band
    return { kind: 'enqueued', order: first + index, queue, payload: read.block() };
  });
}

class Bytes {
  readonly #view: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#view.readUInt8(this.#at);
      this.#at += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  block(): Buffer {
    const length = this.number();
    this.#at += length;
    return this.#view.subarray(this.#at - length, this.#at);
  }

  /** The first delay of an exponential one, then its cap; of another one its delay. */
  backoff(): void {
    if (this.number() === 1) this.number();
    this.number();
  }
}
