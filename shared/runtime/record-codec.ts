import { Packr, RESET_BUFFER_MODE } from 'msgpackr';

// MessagePack with msgpackr's record extension: the names of a structure stand once in a message and are numbers
// after that. Each message defines its own structures, so each can be read alone. For what only we read: the log
// and the tables. On the wire it is `shared/protocol/encoding.ts`.
const packr = new Packr({ useRecords: true, mapsAsObjects: true, int64AsType: 'number' });

/** Encodes a record of the log or a row of a table. */
export const packRecord = (value: unknown): Uint8Array => packr.pack(value);

/** The same in memory of its own: for what is long and kept, or else each call would take new memory and copy that. */
export const packRecordAlone = (value: unknown): Buffer => Buffer.from(packr.pack(value, RESET_BUFFER_MODE));

/** Decodes it. Throws when the bytes are damaged; who reads our own data cannot go on with that. */
export const unpackRecord = (bytes: Uint8Array): unknown => packr.unpack(bytes);
