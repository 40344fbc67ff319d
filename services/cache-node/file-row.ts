// How the file keeps a row: some numbers in front of its bytes, in the order of their places below. Doubles in network
// order sort as their bytes do as long as they are not negative, which is what the keys of the indexes rely on.

const orderAt = 0;
const endAt = 8;
const sizeAt = 16;
const headBytes = 20;

export interface RowHead {
  /** Its place among all rows of the file: the lowest one was written, or kept for being in use, longest ago. */
  readonly order: number;
  readonly endsAtMs: number;
  readonly sizeBytes: number;
}

export function encodeFileRow(head: RowHead, bytes: Buffer): Buffer {
  const row = Buffer.allocUnsafe(headBytes + bytes.byteLength);
  row.writeDoubleBE(head.order, orderAt);
  row.writeDoubleBE(head.endsAtMs, endAt);
  row.writeUInt32BE(head.sizeBytes, sizeAt);
  bytes.copy(row, headBytes);
  return row;
}

export const decodeHead = (row: Buffer): RowHead => ({
  order: row.readDoubleBE(orderAt),
  endsAtMs: row.readDoubleBE(endAt),
  sizeBytes: row.readUInt32BE(sizeAt),
});

export const rowBytes = (row: Buffer): Buffer => row.subarray(headBytes);

/** Key in the index of order. */
export function orderKey(order: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeDoubleBE(order);
  return key;
}

/** Key in the index of ends: unique, since the order is. */
export function endKey({ endsAtMs, order }: RowHead): Buffer {
  const key = Buffer.allocUnsafe(16);
  key.writeDoubleBE(endsAtMs);
  key.writeDoubleBE(order, 8);
  return key;
}
