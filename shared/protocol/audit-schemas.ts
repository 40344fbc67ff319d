import { type Static, Type } from 'typebox';
import { Strict } from './fields.ts';

/** The audit, as it is kept and as it is shown (docs/protocol.md, Audit). */
export const AuditEntry = Type.Object({
  /** 1 for the first entry; each one more than that before it. */
  n: Type.Integer(),
  at: Type.String(),
  /** The principal's name and subject token; both `nobody` where nobody was proved. */
  who: Type.String(),
  id: Type.String(),
  via: Type.Enum(['http', 'nats', 'cli', 'service']),
  /** Address and port, as the server sees them. */
  from: Type.String(),
  operation: Type.String(),
  /** `queue mails`, `namespace default`, `the cluster`, a subject. */
  on: Type.String(),
  item: Type.Optional(Type.String()),
  /** `ok`, or the code of the refusal. */
  result: Type.String(),
  why: Type.Optional(Type.String()),
  traceId: Type.Optional(Type.String()),
  /** How often the same happened since the last entry of its kind. */
  count: Type.Optional(Type.Integer()),
});
export type AuditEntry = Static<typeof AuditEntry>;

/** What somebody notes; number and time come with the writing. */
export type AuditNote = Omit<AuditEntry, 'n' | 'at'>;

export const AuditQuery = Strict({
  who: Type.Optional(Type.String({ maxLength: 256 })),
  operation: Type.Optional(Type.String({ maxLength: 64 })),
  result: Type.Optional(Type.String({ maxLength: 64 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
  cursor: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,15}-[0-9]{1,15}$', 'x-expected': 'a cursor of this list' }),
  ),
});
export type AuditQuery = Static<typeof AuditQuery>;

export const AuditLinesQuery = Strict({
  cursor: Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$', 'x-expected': 'a cursor of this list' })),
});

/** Newest first. */
export const AuditPage = Type.Object({
  entries: Type.Array(AuditEntry),
  cursor: Type.Optional(Type.String()),
});

/** Lines as they are kept, oldest first, for whoever checks the chain. */
export const AuditLines = Type.Object({
  lines: Type.Array(Type.String()),
  cursor: Type.Optional(Type.String()),
});

/** How far the chain had come at some moment, signed. */
export const AuditHead = Type.Object({
  n: Type.Integer(),
  hash: Type.String(),
  at: Type.String(),
  /** The public key, an nkey. */
  key: Type.String(),
  signature: Type.String(),
});
export type AuditHead = Static<typeof AuditHead>;

export const AuditHeads = Type.Object({
  heads: Type.Array(AuditHead),
  /** The key with which the process that answers signs. */
  key: Type.String(),
});
